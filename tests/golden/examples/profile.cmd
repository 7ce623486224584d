tmp=$(mktemp -d)
partita profile --soc sd8gen3 -o "$tmp/profile.csv"
head -3 "$tmp/profile.csv"
ls "$tmp"; rm -r "$tmp"
