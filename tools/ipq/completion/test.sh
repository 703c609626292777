#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test.sh IPQ [SHELL]: tests the completion of incomplete lines. SHELL: bash, zsh or fish.
PATH=$(dirname "$1"):$PATH
directory=$(dirname "$0")
shell=${2:-bash}
failures=0

# zsh completes only in its line editor, so this prints the words that _ipq passes to the editor.
words_of() {
	case $shell in
	bash)
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		_ipq
		echo "${COMPREPLY[*]}"
		;;
	zsh)
		zsh -fc 'functions[_ipq]=$(<$1/_ipq); compadd() { shift; print -l -- ${(M)@:#${words[CURRENT]}*} }
			shift; words=("$@"); CURRENT=$#; _ipq' zsh "$directory" "$@" | tr '\n' ' '
		;;
	fish)
		fish -Nc 'source $argv[1]/ipq.fish; complete -C "$argv[2]"' "$directory" "$*" | tr '\n' ' '
		;;
	esac
}

# offers EXPECTED WORD...: the last word is being completed; EXPECTED must be among what is offered.
offers() {
	expected=$1
	shift
	offered=$(words_of "$@")
	case " $offered " in
	*" $expected "*) ;;
	*)
		echo "FAILED: $*: «$expected» is not among «$offered»"
		failures=$((failures + 1))
		;;
	esac
}

command -v "$shell" >/dev/null || { echo "skipped: no $shell"; exit 77; }
[ "$shell" != bash ] || . "$directory/ipq" || exit 1
offers filter ipq fi
offers watch ipq help w
offers status ipq st
offers --openmetrics ipq status --o
offers --program ipq doctor --p
offers --seconds ipq bench --s
offers --bypass ipq filter --by
offers --record ipq filter -w x --rec
offers --flow-mark ipq rules --flow-
offers FORWARD ipq watch --on F
offers nftables ipq watch --on INPUT --via n
offers drop ipq filter --record d
offers always ipq keep --restart a
offers --exact ipq run --restart --e
offers reject ipq filter rej
offers flow ipq filter 'flo'
offers state ipq filter 'st'
offers portrange ipq filter portr
offers --keep-rules ipq filter --keep
offers --strict ipq filter --str
[ $failures -eq 0 ]
