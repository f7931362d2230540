"""How a majority decides the next epoch: single-decree Paxos, one instance an epoch."""
