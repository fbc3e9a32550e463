# Completion of buttersink for fish. A test compares the options with what --help says.

# Some commands have options of their own, which their help names.
function __buttersink_own_options
    set -l words (commandline -opc)
    $words[1] $words[2] --help |
        string replace -rf '^ +(?:-[A-Za-z], )?(--[a-z0-9-]+)(?: [A-Z]+)* *(.*)$' '$1\t$2'
end

complete -c buttersink -f
complete -c buttersink -n '__fish_seen_subcommand_from backup restore verify' \
    -a '(__buttersink_own_options)'
complete -c buttersink -n __fish_is_first_arg -a list -d 'list the snapshots of a location'
complete -c buttersink -n __fish_is_first_arg -a sync -d 'bring the snapshots of SRC to DST'
complete -c buttersink -n __fish_is_first_arg -a backup -d 'make a snapshot and bring it to every destination'
complete -c buttersink -n __fish_is_first_arg -a verify -d 'look at what is stored again'
complete -c buttersink -n __fish_is_first_arg -a config -d 'look at a configuration file of backups'
complete -c buttersink -n __fish_is_first_arg -a restore -d 'bring a scheduled backup back'
complete -c buttersink -n __fish_is_first_arg -a clean -d 'remove what interrupted runs left'
complete -c buttersink -n __fish_is_first_arg -a adopt -d 'say what snapshots are of'
complete -c buttersink -a '(__fish_complete_directories)'
complete -c buttersink -s n -l dry-run -d 'show the plan and do nothing'
complete -c buttersink -s d -l delete -d 'delete what the source does not have'
complete -c buttersink -s e -l estimate -d 'plan with guessed sizes'
complete -c buttersink -l whole -d 'send every snapshot whole'
complete -c buttersink -l compare -d 'read what arrived, on both sides'
complete -c buttersink -l resend -x -d 'replace this copy'
complete -c buttersink -l exclude -x -d 'leave alone the snapshots whose name matches'
complete -c buttersink -s q -l quiet -d 'no progress; twice: errors only'
complete -c buttersink -s l -l logfile -r -F -d 'append a debug log'
complete -c buttersink -l json -d 'results as JSON'
complete -c buttersink -l full-speed -d 'do not yield to other programs'
complete -c buttersink -l compressed-data -d 'send compressed extents as they are'
complete -c buttersink -l receive-with -x -a 'builtin btrfs' -d 'how btrfs filesystems receive'
complete -c buttersink -l bwlimit -x -d 'send and receive no faster'
complete -c buttersink -l ssh-command -x -d 'instead of ssh'
complete -c buttersink -l ssh-option -x -d 'option of ssh'
complete -c buttersink -l remote-sudo -x -d 'become root at the far side with'
complete -c buttersink -l remote-command -x -d 'instead of buttersink at the far side'
complete -c buttersink -l endpoint-url -x -d 'an S3 service other than AWS'
complete -c buttersink -l region -x -d 'region of the bucket'
complete -c buttersink -l profile -x -d 'profile in the AWS configuration files'
complete -c buttersink -s j -l concurrency -x -d 'requests at the same time'
complete -c buttersink -l part-size -x -d 'size of the parts of an upload'
complete -c buttersink -l checksum -x -a 'md5 crc32c sha256' -d 'what the service checks parts by'
complete -c buttersink -l sse -x -a 'none AES256 aws:kms' -d 'encryption at the service'
complete -c buttersink -l storage-class -x -d 'storage class of uploads' \
    -a 'STANDARD STANDARD_IA ONEZONE_IA INTELLIGENT_TIERING GLACIER_IR GLACIER DEEP_ARCHIVE'
complete -c buttersink -l max-chain -x -d 'diffs in a bucket to make one snapshot of'
complete -c buttersink -l s3-quirks -x -d 'what the service cannot do'
complete -c buttersink -l config -r -d 'a configuration file of backups'
complete -c buttersink -l commands -d 'how each backup is restored by hand'
complete -c buttersink -l backup -x -d 'with clean: this backup, which is deleted'
complete -c buttersink -l offline -d 'with config check: do not ask the bucket'
complete -c buttersink -l as -x -a '(__fish_complete_directories)' -d 'with adopt: what the snapshots are of'
complete -c buttersink -l yes -d 'with adopt: do it'
complete -c buttersink -l take-over -d 'with adopt: also what is of another machine'
complete -c buttersink -l older-than -x -d 'with clean: what is younger stays'
complete -c buttersink -l server -d 'serve a directory to the other end'
complete -c buttersink -l mode -x -a 'r a w' -d 'what a server lets do'
complete -c buttersink -l as -x -d 'what the system log calls the client'
complete -c buttersink -l strict -d 'refuse a directory in which others could use what is received'
complete -c buttersink -s h -l help -d help
complete -c buttersink -s V -l version -d version
