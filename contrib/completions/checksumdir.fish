# Completion of checksumdir for fish. Made from the table of options by tests/it/commands/completions.rs.

complete -c checksumdir -s o -l output -x -a '(__fish_complete_directories)' -d 'where to write; by default the working directory'
complete -c checksumdir -l stdout -d 'write to standard output: all lists, or one of ls, files, sha256sum, links, xattrs'
complete -c checksumdir -l links -d 'also the targets of symlinks, in NAME.links'
complete -c checksumdir -l xattrs -d 'also extended attributes, in NAME.xattrs'
complete -c checksumdir -l json -d 'results as JSON, in one line'
complete -c checksumdir -s j -l threads -x -d 'threads that read; by default as many as processors'
complete -c checksumdir -s q -l quiet -d 'once: no progress; twice: no differences either, just a status'
complete -c checksumdir -s h -l help -d 'show this help'
complete -c checksumdir -s V -l version -d 'show the version'
complete -c checksumdir -l check -d 'LIST is NAME.sha256sum, .ls, .files, .links or .xattrs; without DIR, the directory NAME beside the first LIST is meant'
complete -c checksumdir -l compare -d 'compare attributes and bytes, without hashing'
