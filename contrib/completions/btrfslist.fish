# Completion of btrfslist for fish. A test compares the options with what --help says.

complete -c btrfslist -f -a '(__fish_complete_directories)'
complete -c btrfslist -l sizes -d 'compute the sizes by reading extents'
complete -c btrfslist -l tree -d 'show snapshots below their origin'
complete -c btrfslist -l json -d 'print one JSON object'
complete -c btrfslist -s h -l help -d help
complete -c btrfslist -s V -l version -d version
