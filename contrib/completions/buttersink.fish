# Completion of buttersink for fish. Made from the table of options by tests/it/commands/completions.rs.

function __buttersink_profiles
    set -q AWS_CONFIG_FILE; or set -l AWS_CONFIG_FILE ~/.aws/config
    set -q AWS_SHARED_CREDENTIALS_FILE; or set -l AWS_SHARED_CREDENTIALS_FILE ~/.aws/credentials
    sed -n 's/^\\[\\(profile \\)\\{0,1\\}\\([^]]*\\)\\]$/\\2/p' $AWS_CONFIG_FILE $AWS_SHARED_CREDENTIALS_FILE 2>/dev/null
end
function __buttersink_subvolumes
    set -l words (commandline -opc)
    set -l at (contains -i -- --config $words); or return
    buttersink status --json --config $words[(math $at + 1)] 2>/dev/null | sed -n 's/.*"subvolume":"\\([^"]*\\)".*/\\1/p' | sort -u
end
function __buttersink_snapshots
    for place in (string match -- '*/' (commandline -opc))
        test -d $place; and buttersink list --json $place 2>/dev/null | grep -o '"path":"[^"]*"' | sed -n 's/.*"path":"\\([^"]*\\)".*/\\1/p'
    end
end
# Whether the command is one of these; 'none' if none is typed.
function __buttersink_is
    for word in (commandline -opc)[2..]
        contains -- $word sync list backup snapshot send restore verify clean prune adopt status config --server; and begin
            contains -- $word $argv
            return
        end
    end
    contains -- none $argv
end

complete -c buttersink -f
complete -c buttersink -a '(__fish_complete_directories)'
complete -c buttersink -n '__buttersink_is none' -a 'sync' -d 'brings the snapshots of SRC to DST'
complete -c buttersink -n '__buttersink_is none' -a 'list' -d 'shows the snapshots at a location, and the backups in archives there'
complete -c buttersink -n '__buttersink_is none' -a 'backup' -d 'makes a snapshot of a subvolume, brings it to every destination, and lets old ones go'
complete -c buttersink -n '__buttersink_is none' -a 'snapshot' -d 'makes a snapshot of a subvolume, or those that are due, and sends nothing'
complete -c buttersink -n '__buttersink_is none' -a 'send' -d 'sends the snapshots of a configuration that are there, and makes none'
complete -c buttersink -n '__buttersink_is none' -a 'restore' -d 'brings a backup back from the bucket that a configuration file names'
complete -c buttersink -n '__buttersink_is none' -a 'verify' -d 'looks at what is stored again, without trusting that it was written well'
complete -c buttersink -n '__buttersink_is none' -a 'clean' -d 'removes what interrupted runs left, or one backup in a bucket'
complete -c buttersink -n '__buttersink_is none' -a 'prune' -d 'lets old snapshots go where backups arrive, of each subvolume by itself'
complete -c buttersink -n '__buttersink_is none' -a 'adopt' -d 'says what snapshots are of, where nothing else does'
complete -c buttersink -n '__buttersink_is none' -a 'status' -d 'says how the backups of a configuration stand, and what is late'
complete -c buttersink -n '__buttersink_is none' -a 'config' -d 'makes a configuration file of backups, and looks at it'
complete -c buttersink -n '__buttersink_is config' -a 'init' -d 'prints a file for this machine, from what is mounted'
complete -c buttersink -n '__buttersink_is config' -a 'import' -d 'prints a file of btrbk as one of ours, and names what has no counterpart'
complete -c buttersink -n '__buttersink_is config' -a 'check' -d 'says what a file means, what its bucket is like, and what would run when'
complete -c buttersink -n '__buttersink_is none' -a '--server' -d 'serves DIR to the buttersink at the other end of standard input and output'
complete -c buttersink -n '__buttersink_is sync list backup snapshot send restore clean prune adopt none' -s n -l dry-run -d 'show what would be done, with exact sizes, and do nothing'
complete -c buttersink -n '__buttersink_is sync none' -s d -l delete -d 'after everything arrived, delete snapshots of DST that SRC does not have, of the subvolumes that SRC has snapshots of'
complete -c buttersink -n '__buttersink_is sync none' -s e -l estimate -d 'plan with guessed sizes, without measuring'
complete -c buttersink -n '__buttersink_is sync backup none' -l whole -d 'send every snapshot whole, and none as the difference from another'
complete -c buttersink -n '__buttersink_is sync none' -l one-by-one -d 'make each snapshot durable for itself, and not many small ones together'
complete -c buttersink -n '__buttersink_is sync none' -l allow-empty -d 'a SRC without snapshots is no failure'
complete -c buttersink -n '__buttersink_is sync backup none' -l compare -d 'read what arrived, on both sides, before it counts as sent'
complete -c buttersink -n '__buttersink_is sync list clean prune none' -l exclude -x -d 'leave alone the snapshots whose name matches (may be repeated)'
complete -c buttersink -n '__buttersink_is sync backup none' -l require-mount -d 'refuse a place on this machine that no filesystem is mounted for'
complete -c buttersink -n '__buttersink_is sync backup none' -l create -d 'make a DST on this machine that is not there'
complete -c buttersink -n '__buttersink_is sync restore none' -l wait-restore -d 'wait until frozen objects are thawed'
complete -c buttersink -n '__buttersink_is sync restore none' -l no-wait-restore -d 'only ask for it, and exit with 10'
complete -c buttersink -n '__buttersink_is sync restore none' -l restore-timeout -x -d 'wait no longer than so many seconds'
complete -c buttersink -n '__buttersink_is sync restore none' -l restore-tier -x -a 'Standard Bulk Expedited' -d 'thaw by Standard, Bulk or Expedited'
complete -c buttersink -n '__buttersink_is sync list backup snapshot send restore verify clean prune adopt status config none' -s h -l help -d 'show this help'
complete -c buttersink -n '__buttersink_is sync list backup snapshot send restore verify clean prune adopt status none' -s q -l quiet -d 'once: no progress; twice: errors only'
complete -c buttersink -n '__buttersink_is sync list backup snapshot send restore verify clean prune adopt config none' -s l -l logfile -r -F -d 'append a debug log to FILE'
complete -c buttersink -n '__buttersink_is sync list backup snapshot send restore verify clean prune adopt status none' -l transaction-log -r -F -d 'append a line for each change to FILE'
complete -c buttersink -n '__buttersink_is sync list backup snapshot send restore verify clean prune adopt status none' -l json -d 'results as JSON, one object a line'
complete -c buttersink -n '__buttersink_is sync backup send restore verify none' -l full-speed -d 'do not yield to other programs'
complete -c buttersink -n '__buttersink_is sync backup send none' -l compressed-data -d 'send compressed extents as they are (sizes in plans are then upper bounds)'
complete -c buttersink -n '__buttersink_is sync backup send restore --server none' -l receive-with -x -a 'builtin btrfs' -d 'how btrfs filesystems receive: \'btrfs\', or by ourselves (\'builtin\')'
complete -c buttersink -n '__buttersink_is sync restore --server none' -l receive-unconfined -d 'receive also where \'btrfs receive\' cannot be kept to its filesystem'
complete -c buttersink -n '__buttersink_is sync backup send restore verify none' -l bwlimit -x -d 'send and receive no faster: KiB per second, or with a unit: 500, 10M'
complete -c buttersink -n '__buttersink_is sync list backup send verify clean prune adopt none' -l ssh-command -x -d 'CMD instead of \'ssh\', with arguments (also BUTTERSINK_SSH)'
complete -c buttersink -n '__buttersink_is sync list backup send verify clean prune adopt none' -l ssh-option -x -d '\'ssh -o OPT\' (may be repeated)'
complete -c buttersink -n '__buttersink_is sync list backup send verify clean prune adopt none' -l remote-sudo -x -d 'become root at the far side with CMD instead of \'sudo\'; \'\' for not at all'
complete -c buttersink -n '__buttersink_is sync list backup send verify clean prune adopt none' -l remote-command -x -d 'CMD instead of \'buttersink\' at the far side'
complete -c buttersink -n '__buttersink_is sync list backup send restore verify clean prune adopt config none' -l endpoint-url -x -d 'an S3 service other than AWS (also AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL)'
complete -c buttersink -n '__buttersink_is sync list backup send restore verify clean prune adopt config none' -l region -x -d 'the bucket\'s region (also AWS_REGION)'
complete -c buttersink -n '__buttersink_is sync list backup send restore verify clean prune adopt config none' -l profile -x -a '(__buttersink_profiles)' -d 'the profile in the AWS configuration files (also AWS_PROFILE)'
complete -c buttersink -n '__buttersink_is sync list backup send restore verify clean prune adopt config none' -l s3-quirks -x -d 'what the service cannot do; see buttersink-s3(5)'
complete -c buttersink -n '__buttersink_is sync list backup restore verify clean prune adopt none' -s j -l concurrency -x -a 'auto' -d 'requests at the same time (4, or what the file says), or auto'
complete -c buttersink -n '__buttersink_is sync backup send none' -l part-size -x -d 'size of the parts of an upload, in MiB or with a unit: 64, 64M, 1G'
complete -c buttersink -n '__buttersink_is sync backup send none' -l checksum -x -a 'md5 crc32c sha256' -d 'what the service checks parts by: md5, crc32c or sha256'
complete -c buttersink -n '__buttersink_is sync backup adopt none' -l sse -x -a 'none AES256 aws:kms' -d 'encryption at the service: none, AES256, aws:kms or aws:kms:KEY'
complete -c buttersink -n '__buttersink_is sync backup none' -l storage-class -x -a 'STANDARD STANDARD_IA ONEZONE_IA INTELLIGENT_TIERING GLACIER GLACIER_IR DEEP_ARCHIVE REDUCED_REDUNDANCY' -d 'the storage class of uploads'
complete -c buttersink -n '__buttersink_is sync backup none' -l max-chain -x -d 'at most N diffs in a bucket to make one snapshot of (30)'
complete -c buttersink -n '__buttersink_is sync none' -l resend -x -a '(__buttersink_snapshots)' -d 'replace this copy in DST, and nothing else: it is sent again, compared and exchanged (may be repeated)'
complete -c buttersink -n '__buttersink_is list' -s d -l delete -d 'remove what interrupted transfers left (not backups)'
complete -c buttersink -n '__buttersink_is list none' -l commands -d 'how each stream in a bucket is received by hand'
complete -c buttersink -n '__buttersink_is list none' -l sort -x -a 'time name size own stored chain total class state' -d 'by time (as it is), name, size, own, stored, chain, total, class or state; -ORDER from the end'
complete -c buttersink -n '__buttersink_is list none' -l tree -d 'each below what it descends from, in a bucket what it builds on, with bars of sizes'
complete -c buttersink -n '__buttersink_is list none' -s o -l columns -x -d 'show these columns, by their titles: name,created,size'
complete -c buttersink -n '__buttersink_is list backup snapshot send restore verify clean prune status none' -l config -r -F -d 'the backups of a configuration file; see buttersink.conf(5)'
complete -c buttersink -n '__buttersink_is list restore verify clean none' -l destination -x -d 'the archive of this name in the file'
complete -c buttersink -n '__buttersink_is backup snapshot' -l always -d 'make a snapshot even if nothing changed'
complete -c buttersink -n '__buttersink_is backup prune' -l keep -x -d 'keep, where backups arrive, the newest of so many hours, days, weeks, months and years: \'24h 7d 4w 12m 2y\''
complete -c buttersink -n '__buttersink_is backup prune' -l num-backups -x -d 'keep, where backups arrive, the newest N'
complete -c buttersink -n '__buttersink_is backup prune' -l keep-min -x -d 'keep, whatever the others say, what arrived since: 12h, 30d, 2w'
complete -c buttersink -n '__buttersink_is backup' -l num-snapshots -x -d 'keep in SUBVOLUME/snapshot/ the newest N'
complete -c buttersink -n '__buttersink_is backup' -l latest-only -d 'keep in SUBVOLUME/snapshot/ only the newest'
complete -c buttersink -n '__buttersink_is backup snapshot' -l snapshot-folder -x -a '(__fish_complete_directories)' -d 'DIR instead of \'snapshot\', relative to SUBVOLUME'
complete -c buttersink -n '__buttersink_is backup snapshot' -l snapshot-prefix -x -d 'names of snapshots begin with PREFIX'
complete -c buttersink -n '__buttersink_is backup snapshot send' -s d -l debug -d 'the debug log on standard error'
complete -c buttersink -n '__buttersink_is backup snapshot send prune' -l subvolume -x -a '(__buttersink_subvolumes)' -d 'only the backups of this name (may be repeated)'
complete -c buttersink -n '__buttersink_is backup snapshot send' -l once -d 'also what is not due'
complete -c buttersink -n '__buttersink_is backup' -l no-s3 -d 'make the snapshot only, and send nothing'
complete -c buttersink -n '__buttersink_is backup snapshot send' -l log-level -x -a 'debug info warning error critical' -d 'debug, info, warning, error or critical'
complete -c buttersink -n '__buttersink_is restore' -l subvolume -x -a '(__buttersink_subvolumes)' -d 'the backups of this name'
complete -c buttersink -n '__buttersink_is restore' -l target -x -a '(__fish_complete_directories)' -d 'where to'
complete -c buttersink -n '__buttersink_is restore' -l at -x -d 'the newest that was made then or before: \'2026-11-21\', \'2026-11-21 14:00\' in local time, 2026-11-21T14:00:00Z or 20261121T140000Z'
complete -c buttersink -n '__buttersink_is restore' -l snapshot -x -d 'that of the snapshot NAME'
complete -c buttersink -n '__buttersink_is restore' -l manifest-key -x -d 'the one whose manifest has this key'
complete -c buttersink -n '__buttersink_is restore' -l verify -x -a 'full sample none' -d 'compare with the source snapshot, if that is on this machine: full, sample or none'
complete -c buttersink -n '__buttersink_is verify' -l quick -d 'by what is recorded, without reading data (the default)'
complete -c buttersink -n '__buttersink_is verify' -l download -d 'also read every object: each command\'s checksum, and the SHA-256'
complete -c buttersink -n '__buttersink_is verify' -l against -x -a '(__fish_complete_directories)' -d 'both have the same snapshots; if LOCATION is a bucket and OTHER is not, make the streams of OTHER again and compare their checksums with those that the service has, so that nothing need be downloaded'
complete -c buttersink -n '__buttersink_is verify' -l content -d 'with --against, neither a bucket: compare the files of both, content and metadata; over ssh each side reads its own'
complete -c buttersink -n '__buttersink_is verify' -l changed -d 'with --content: only what each snapshot has other than its parent'
complete -c buttersink -n '__buttersink_is verify' -l drill -d 'rehearse what is stored in a bucket: whether it can be received'
complete -c buttersink -n '__buttersink_is verify' -l sample -x -d 'with --drill: only N chains that are drawn at random'
complete -c buttersink -n '__buttersink_is verify' -l scratch -x -a '(__fish_complete_directories)' -d 'with --drill: receive it, in a subvolume that is removed again'
complete -c buttersink -n '__buttersink_is verify' -l compressed-data -d 'the streams were uploaded with this option'
complete -c buttersink -n '__buttersink_is clean' -l older-than -x -d 'what is younger stays: 0, 90m, 12h, 3d, 2w (in buckets 1d, else 0)'
complete -c buttersink -n '__buttersink_is clean' -l backup -x -d 'delete this backup, as they are listed; no other may build on it'
complete -c buttersink -n '__buttersink_is adopt' -l as -x -a '(__fish_complete_directories)' -d 'what the snapshots are of'
complete -c buttersink -n '__buttersink_is adopt' -l yes -d 'do it; else it is only shown'
complete -c buttersink -n '__buttersink_is adopt' -l take-over -d 'also what is another machine\'s, which has moved here'
complete -c buttersink -n '__buttersink_is status' -l prometheus -r -F -d 'also write it for the text collector of a node exporter'
complete -c buttersink -n '__buttersink_is config' -l offline -d 'do not ask the bucket'
complete -c buttersink -n '__buttersink_is config' -l write -d 'write one small object to the bucket, and remove it again'
complete -c buttersink -n '__buttersink_is config' -l json -d 'one JSON object for all files, at the end'
complete -c buttersink -n '__buttersink_is --server' -l mode -x -a 'r p a w' -d 'r to read, p to add, a for both, w also to delete'
complete -c buttersink -n '__buttersink_is --server' -l as -x -d 'what the system log calls the client'
complete -c buttersink -n '__buttersink_is --server' -l strict -d 'refuse a DIR in which others could use what is received'
complete -c buttersink -n '__buttersink_is --server' -l max-bytes -x -d 'take no more bytes of streams by this key'
complete -c buttersink -n '__buttersink_is --server' -l max-snapshots -x -d 'take no more snapshots by this key'
complete -c buttersink -n '__buttersink_is none' -s V -l version -d 'show the version'
