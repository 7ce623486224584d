partita show-config host
