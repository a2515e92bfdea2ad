"""The DATA argument of the command line: class folders, tables, archives, single images and the digits."""
