"""What may befall a cluster: one module for each thing that it befalls, and one table of all kinds."""
