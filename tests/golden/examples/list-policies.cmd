partita list policies --options
