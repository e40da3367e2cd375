from dhs.cli import main

main()
