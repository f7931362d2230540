import sys

from fuzzing.command import main

sys.exit(main(sys.argv[1:]))
