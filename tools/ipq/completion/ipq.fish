# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of ipq for fish: the same words as for bash.
function __ipq_words
	set -l before (commandline -opc)
	set -l word (commandline -ct)
	set -l command $before[2]

	if test (count $before) -eq 1; or test "$(count $before) $command" = '2 help'
		ipq --help 2>/dev/null | awk '/^  [a-z]/ { print $1 }'
		printf '%s\n' help --version
		return
	end
	switch "$command $before[-1]"
		case 'keep --restart'
			printf '%s\n' on-failure always no
		case '* --on'
			printf '%s\n' PREROUTING INPUT FORWARD OUTPUT POSTROUTING
		case '* --via'
			printf '%s\n' nftables iptables iptables-legacy iptables-nft
		case '* --record'
			printf '%s\n' all drop accept
		case '* -w' '* --write' '* -r' '* --read' '* -f' '* --file'
			__fish_complete_path $word
		case '*'
			if string match -q -- '-*' $word
				begin
					ipq help $command
					ipq help $command words
				end 2>/dev/null | grep -oE -- '--[a-z-]+' | sort -u
			else if test $command = filter
				ipq help filter words 2>/dev/null | grep -v '^--'
			else
				__fish_complete_path $word
			end
	end
end
complete -c ipq -f -a '(__ipq_words)'
