# Completion of checksumdir for fish. A test compares the options with what --help says.

complete -c checksumdir -l check -d 'compare lists with a directory'
complete -c checksumdir -l compare -d 'compare two trees'
complete -c checksumdir -s o -l output -x -a '(__fish_complete_directories)' -d 'where to write'
# The value may be missing, so it is written with the option.
complete -c checksumdir -l stdout -d 'write to standard output'
complete -c checksumdir -l links -d 'also the targets of symlinks'
complete -c checksumdir -l xattrs -d 'also extended attributes'
complete -c checksumdir -l json -d 'print one line of JSON'
complete -c checksumdir -s j -l threads -x -d threads
complete -c checksumdir -s q -l quiet -d 'no progress; twice: no differences either'
complete -c checksumdir -s h -l help -d help
complete -c checksumdir -s V -l version -d version
