# Completion of buttersink, btrfslist and checksumdir for bash. A test compares the options with
# what the programs' --help says.

_buttersink() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $before in
    -l | --logfile | --config)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        compopt -o filenames
        return
        ;;
    --mode) mapfile -t COMPREPLY < <(compgen -W 'r a w' -- "$word"); return ;;
    --checksum) mapfile -t COMPREPLY < <(compgen -W 'md5 crc32c sha256' -- "$word"); return ;;
    --sse) mapfile -t COMPREPLY < <(compgen -W 'none AES256 aws:kms' -- "$word"); return ;;
    --storage-class)
        mapfile -t COMPREPLY < <(compgen -W 'STANDARD STANDARD_IA ONEZONE_IA INTELLIGENT_TIERING
            GLACIER_IR GLACIER DEEP_ARCHIVE' -- "$word")
        return
        ;;
    --exclude | --bwlimit | --ssh-command | --ssh-option | --remote-sudo | --remote-command | \
        --endpoint-url | --region | --profile | -j | --concurrency | --part-size | --max-chain | \
        --s3-quirks | --older-than | --backup | --as) return ;;
    esac
    if [[ ${COMP_WORDS[1]-} =~ ^(backup|restore|verify)$ && $word == -* ]]; then
        # These have options of their own, which their help names.
        mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" "${COMP_WORDS[1]}" --help |
            grep -oE '^ +(-[a-zA-Z], )?--[a-z0-9-]+' | tr -d ,)" -- "$word")
        return
    fi
    if [[ $word = -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '
            -n --dry-run -d --delete -e --estimate --whole --compare --resend --exclude -q --quiet -l --logfile
            --json --full-speed --compressed-data --receive-with --bwlimit --ssh-command --ssh-option --remote-sudo
            --remote-command --endpoint-url --region --profile -j --concurrency --part-size
            --checksum --sse --storage-class --max-chain --s3-quirks --config --commands
            --older-than --backup --yes --take-over --offline --server --mode --as --strict
            -h --help -V --version' -- "$word")
    else
        local commands=
        [ "$COMP_CWORD" != 1 ] || commands='list sync backup restore verify config clean adopt'
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word"; compgen -d -S / -- "$word")
        compopt -o filenames -o nospace
    fi
}

_btrfslist() {
    local word=${COMP_WORDS[COMP_CWORD]}
    if [[ $word = -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '
            --sizes --tree --json -h --help -V --version' -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        compopt -o filenames
    fi
}

_checksumdir() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $before in
    -j | --threads) return ;;
    -o | --output)
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        compopt -o filenames
        return
        ;;
    esac
    if [[ $word = -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '
            --check --compare -o --output --stdout --links --xattrs --json -j --threads -q --quiet
            -h --help -V --version' -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        compopt -o filenames
    fi
}

complete -F _buttersink buttersink
complete -F _btrfslist btrfslist
complete -F _checksumdir checksumdir
