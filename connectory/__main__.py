from connectory.commands.cli import main

main()
