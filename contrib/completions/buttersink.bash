# Completion of buttersink, btrfslist and checksumdir for bash. Made from the table of options by tests/it/commands/completions.rs.

_buttersink_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$word"); }
_buttersink_names() { mapfile -t COMPREPLY < <(compgen "$1" -- "$word"); compopt -o filenames; }
_buttersink_values() {
    local value
    while IFS= read -r value; do
        [[ $value != "$word"* ]] || COMPREPLY+=("$(printf %q "$value")")
    done
}
_buttersink_profiles() {
    sed -n 's/^\[\(profile \)\{0,1\}\([^]]*\)\]$/\2/p' "${AWS_CONFIG_FILE:-$HOME/.aws/config}" \
        "${AWS_SHARED_CREDENTIALS_FILE:-$HOME/.aws/credentials}" 2>/dev/null | sort -u
}
_buttersink_subvolumes() {
    local i
    for ((i = 1; i + 1 < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} != --config ]] ||
            buttersink status --json --config "${COMP_WORDS[i + 1]}" 2>/dev/null |
            sed -n 's/.*"subvolume":"\([^"]*\)".*/\1/p' | sort -u
    done
}
_buttersink_snapshots() {
    local place
    for place in "${COMP_WORDS[@]:1}"; do
        [[ $place != */ || ! -d $place ]] ||
            buttersink list --json "$place" 2>/dev/null | grep -o '"path":"[^"]*"' | sed -n 's/.*"path":"\([^"]*\)".*/\1/p'
    done
}

_buttersink() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' options i
    COMPREPLY=()
    case $before in
    --against | --as | --scratch | --snapshot-folder | --target) _buttersink_names -d; return ;;
    --at | --backup | --bwlimit | -o | --columns | --destination | --endpoint-url | --exclude | --keep | --keep-min | --manifest-key | --max-bytes | --max-chain | --max-snapshots | --num-backups | --num-snapshots | --older-than | --part-size | --region | --remote-command | --remote-sudo | --restore-timeout | --s3-quirks | --sample | --snapshot | --snapshot-prefix | --ssh-command | --ssh-option) return ;;
    --checksum) _buttersink_words 'md5 crc32c sha256'; return ;;
    -j | --concurrency) _buttersink_words 'auto'; return ;;
    --config | -l | --logfile | --prometheus | --transaction-log) _buttersink_names -f; return ;;
    --log-level) _buttersink_words 'debug info warning error critical'; return ;;
    --mode) _buttersink_words 'r p a w'; return ;;
    --profile) _buttersink_values < <(_buttersink_profiles); return ;;
    --receive-with) _buttersink_words 'builtin btrfs'; return ;;
    --resend) _buttersink_values < <(_buttersink_snapshots); return ;;
    --restore-tier) _buttersink_words 'Standard Bulk Expedited'; return ;;
    --sort) _buttersink_words 'time name size own stored chain total class state'; return ;;
    --sse) _buttersink_words 'none AES256 aws:kms'; return ;;
    --storage-class) _buttersink_words 'STANDARD STANDARD_IA ONEZONE_IA INTELLIGENT_TIERING GLACIER GLACIER_IR DEEP_ARCHIVE REDUCED_REDUNDANCY'; return ;;
    --subvolume) _buttersink_values < <(_buttersink_subvolumes); return ;;
    --verify) _buttersink_words 'full sample none'; return ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in sync | list | backup | snapshot | send | restore | verify | clean | prune | adopt | status | config | --server) command=${COMP_WORDS[i]}; break ;; esac
    done
    case $command in
    sync) options='-n --dry-run -d --delete -e --estimate --whole --one-by-one --allow-empty --compare --exclude --require-mount --create --wait-restore --no-wait-restore --restore-timeout --restore-tier -h --help -q --quiet -l --logfile --transaction-log --json --full-speed --compressed-data --receive-with --receive-unconfined --bwlimit --ssh-command --ssh-option --remote-sudo --remote-command --endpoint-url --region --profile --s3-quirks -j --concurrency --part-size --checksum --sse --storage-class --max-chain --resend' ;;
    list) options='-n --dry-run -d --delete --exclude --commands --sort --tree -o --columns -h --help -q --quiet -l --logfile --transaction-log --json --ssh-command --ssh-option --remote-sudo --remote-command --endpoint-url --region --profile --s3-quirks -j --concurrency --config --destination' ;;
    backup) options='-n --dry-run --whole --compare --always --keep --num-backups --keep-min --num-snapshots --latest-only --require-mount --create --snapshot-folder --snapshot-prefix -d --debug -h --help -q --quiet -l --logfile --transaction-log --json --full-speed --compressed-data --receive-with --bwlimit --ssh-command --ssh-option --remote-sudo --remote-command --endpoint-url --region --profile --s3-quirks -j --concurrency --part-size --checksum --sse --storage-class --max-chain --config --subvolume --once --no-s3 --log-level' ;;
    snapshot) options='-n --dry-run --always --snapshot-folder --snapshot-prefix -h --help -q --quiet -l --logfile --transaction-log --json --config --subvolume --once --log-level -d --debug' ;;
    send) options='-n --dry-run --config --subvolume --once --log-level -d --debug -h --help -q --quiet -l --logfile --transaction-log --json --full-speed --compressed-data --receive-with --bwlimit --ssh-command --ssh-option --remote-sudo --remote-command --endpoint-url --region --profile --s3-quirks --part-size --checksum' ;;
    restore) options='-n --dry-run --config --subvolume --destination --target --at --snapshot --manifest-key --verify --wait-restore --no-wait-restore --restore-timeout --restore-tier -h --help -q --quiet -l --logfile --transaction-log --json --full-speed --receive-with --receive-unconfined --bwlimit --endpoint-url --region --profile --s3-quirks -j --concurrency' ;;
    verify) options='--quick --download --against --content --changed --drill --sample --scratch -h --help -q --quiet -l --logfile --transaction-log --json --full-speed --compressed-data --bwlimit --ssh-command --ssh-option --remote-sudo --remote-command --endpoint-url --region --profile --s3-quirks -j --concurrency --config --destination' ;;
    clean) options='-n --dry-run --exclude --older-than -h --help -q --quiet -l --logfile --transaction-log --json --ssh-command --ssh-option --remote-sudo --remote-command --endpoint-url --region --profile --s3-quirks -j --concurrency --config --backup --destination' ;;
    prune) options='-n --dry-run --exclude --keep --num-backups --keep-min -h --help -q --quiet -l --logfile --transaction-log --json --ssh-command --ssh-option --remote-sudo --remote-command --endpoint-url --region --profile --s3-quirks -j --concurrency --config --subvolume' ;;
    adopt) options='-n --dry-run --as --yes --take-over -h --help -q --quiet -l --logfile --transaction-log --json --ssh-command --ssh-option --remote-sudo --remote-command --endpoint-url --region --profile --s3-quirks -j --concurrency --sse' ;;
    status) options='--config --prometheus -h --help -q --quiet --transaction-log --json' ;;
    config) options='-h --help --offline --write -l --logfile --json --endpoint-url --region --profile --s3-quirks' ;;
    --server) options='--mode --as --strict --max-bytes --max-snapshots --receive-with --receive-unconfined' ;;
    *) options='-n --dry-run -d --delete -e --estimate --whole --one-by-one --allow-empty --compare --exclude --require-mount --create --wait-restore --no-wait-restore --restore-timeout --restore-tier -h --help -q --quiet -l --logfile --transaction-log --json --full-speed --compressed-data --receive-with --receive-unconfined --bwlimit --ssh-command --ssh-option --remote-sudo --remote-command --endpoint-url --region --profile --s3-quirks -j --concurrency --part-size --checksum --sse --storage-class --max-chain --resend --commands --sort --tree -o --columns --config --destination -V --version' ;;
    esac
    [[ $before != config ]] || { _buttersink_words 'init import check'; return; }
    if [[ $word == -* ]]; then
        _buttersink_words "$options"
        return
    fi
    local commands=
    [ -n "$command" ] || commands='sync list backup snapshot send restore verify clean prune adopt status config'
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word"; compgen -d -S / -- "$word")
    compopt -o filenames -o nospace
}

_btrfslist() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' options i
    COMPREPLY=()
    case $before in
    -o | --columns) return ;;
    esac
    case $command in
    *) options='--sizes --tree -o --columns --json -h --help -V --version' ;;
    esac
    if [[ $word == -* ]]; then
        _buttersink_words "$options"
        return
    fi
    mapfile -t COMPREPLY < <(compgen -d -- "$word")
    compopt -o filenames
}

_checksumdir() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' options i
    COMPREPLY=()
    case $before in
    -o | --output) _buttersink_names -d; return ;;
    -j | --threads) return ;;
    esac
    case $command in
    *) options='-o --output --stdout --links --xattrs --json -j --threads -q --quiet -h --help -V --version --check --compare' ;;
    esac
    if [[ $word == -* ]]; then
        _buttersink_words "$options"
        return
    fi
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    compopt -o filenames
}
complete -F _buttersink buttersink
complete -F _btrfslist btrfslist
complete -F _checksumdir checksumdir
