from connectory.cli import main

main()
