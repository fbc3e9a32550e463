# Completion of btrfslist for fish. Made from the table of options by tests/it/commands/completions.rs.

complete -c btrfslist -f -a '(__fish_complete_directories)'
complete -c btrfslist -l sizes -d 'compute the sizes by reading the extents of all files; counts data only, needs no quotas, and takes time. Without it, sizes are shown only if quotas are on and right'
complete -c btrfslist -l tree -d 'show snapshots below what they are snapshots of'
complete -c btrfslist -s o -l columns -x -d 'show these columns, by their titles: name,total,uuid'
complete -c btrfslist -l json -d 'print one JSON object; sizes are bytes, unknown is null, and in paths \'%\' and bytes that are not UTF-8 are written as %XX'
complete -c btrfslist -s h -l help -d 'show this help'
complete -c btrfslist -s V -l version -d 'show the version'
