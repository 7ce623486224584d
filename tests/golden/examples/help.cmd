partita help
