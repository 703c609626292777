#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test.sh IPQ: what the completion offers for a line that has been begun.
PATH=$(dirname "$1"):$PATH
. "$(dirname "$0")/ipq" || exit 1
failures=0

# offers EXPECTED WORD...: the last word is being completed; EXPECTED must be among what is offered.
offers() {
	expected=$1
	shift
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	_ipq
	case " ${COMPREPLY[*]} " in
	*" $expected "*) ;;
	*)
		echo "FAILED: $*: «$expected» is not among «${COMPREPLY[*]}»"
		failures=$((failures + 1))
		;;
	esac
}

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
offers reject ipq filter rej
offers flow ipq filter 'flo'
offers state ipq filter 'st'
offers portrange ipq filter portr
offers --keep-rules ipq filter --keep
offers --strict ipq filter --str
[ $failures -eq 0 ]
