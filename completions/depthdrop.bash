# bash completion for depthdrop

_depthdrop_values() {
    case $1 in
    --run | --resume | --cache-dir | --output) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$2") ;;
    --model | --init) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -X '!*.safetensors' -- "$2"; compgen -d -- "$2") ;;
    --bench) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -X '!*.json' -- "$2"; compgen -d -- "$2") ;;
    --data) compopt -o nospace; mapfile -t COMPREPLY < <(compgen -W 'fashion-mnist shapes cifar10: cifar100: folder: idx:' -- "$2") ;;
    --net) mapfile -t COMPREPLY < <(compgen -W 'resnet8 resnet14 resnet20 resnet32 resnet44 resnet56 resnet110 resnet18
        resnet34 resnet50 resnet101 resnet152' -- "$2") ;;
    --shortcut) mapfile -t COMPREPLY < <(compgen -W 'identity projection conv' -- "$2") ;;
    --gate) mapfile -t COMPREPLY < <(compgen -W 'none uniform:0.5 linear:0.5 exact:1' -- "$2") ;;
    --gate-first) mapfile -t COMPREPLY < <(compgen -W 'none stage1 all' -- "$2") ;;
    --augment) mapfile -t COMPREPLY < <(compgen -W 'standard none' -- "$2") ;;
    --recipe) mapfile -t COMPREPLY < <(compgen -W 'cifar' -- "$2") ;;
    --lr-drops) mapfile -t COMPREPLY < <(compgen -W 'none' -- "$2") ;;
    --algorithm) mapfile -t COMPREPLY < <(compgen -W 'auto gemm direct winograd' -- "$2") ;;
    --vector) mapfile -t COMPREPLY < <(compgen -W 'auto 1 4 8 16' -- "$2") ;;
    --device) mapfile -t COMPREPLY < <(compgen -W 'cpu gpu all 0 1' -- "$2") ;;
    *) return 1 ;; # a number, or an option that takes no value
    esac
}

_depthdrop() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options
    COMPREPLY=()
    # "--name=value" and "name:value" arrive in three words
    if [ "$word" = "=" ]; then
        word=
    elif [ "$before" = "=" ] && [ "$COMP_CWORD" -ge 2 ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W 'devices train eval predict bench tune report selftest info help --help --version' -- "$word")
        return
    fi
    case ${COMP_WORDS[1]} in
    devices) options='--json' ;;
    train) options='--run --resume --dry-run --data --image-size --augment --val-split --no-cache --net --shortcut --gate
        --gate-first --gate-warmup --dropout --unit-dropout --bn-recalibrate --batch --iterations --epochs --recipe --lr --momentum --weight-decay
        --lr-drops --lr-warmup --init --seed --eval-every --log-every --save-every --save-minutes --quiet --device --algorithm --vector
        --threads --cache-dir' ;;
    eval) options='--model --data --batch --json --quiet --device --algorithm --vector --threads --cache-dir --no-cache' ;;
    predict) options='--model --json --batch --quiet --device --algorithm --vector --threads --cache-dir' ;;
    bench) options='step conv gates --net --shortcut --gate --gate-first --ratios --exact --dropout --unit-dropout --all --plain --profile
        --batch --iterations --warmup --image-size --seed --json --device --algorithm --vector --threads --cache-dir' ;;
    tune) options='--net --shortcut --image-size --channels --all --batch --json --device --vector --threads --cache-dir' ;;
    report) options='--output --bench' ;;
    selftest) options='--device --vector --algorithm --quick --seed --json --threads --cache-dir' ;;
    info) options='--net --model --shortcut --gate --gate-first --image-size --channels --classes --batch --json' ;;
    help) mapfile -t COMPREPLY < <(compgen -W 'devices train eval predict bench tune report selftest info' -- "$word"); return ;;
    *) return ;;
    esac
    _depthdrop_values "$before" "$word" && return
    if [ "${COMP_WORDS[1]}" = predict ] && [[ $word != -* ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
    fi
    if [ "${COMP_WORDS[1]}" = report ] && [[ $word != -* ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$options --help" -- "$word")
}

complete -F _depthdrop depthdrop
