partita bench --help
