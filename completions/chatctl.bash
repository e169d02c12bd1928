# SPDX-License-Identifier: MIT
# bash completion for chatctl: commands, and rooms, ids and bans of the running daemon.
_chatctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} command='' socket=() i word place=0
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-s | --socket | -c | --config)
			[ -n "$command" ] || socket+=("$word" "${COMP_WORDS[i + 1]}")
			((i++))
			;;
		-*) ;;
		*)
			[ -n "$command" ] && ((place++))
			[ -n "$command" ] || command=$word
			;;
		esac
	done
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	-s | --socket | -c | --config)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--ca)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--room)
		mapfile -t COMPREPLY < <(compgen -W "$(chatctl "${socket[@]}" complete rooms 2>/dev/null)" -- "$cur")
		return
		;;
	--as)
		return # a name that nobody has
		;;
	esac
	local kind=''
	case $command:$place in
	:*) kind=commands ;;
	help:0) kind=commands ;;
	list:0) mapfile -t COMPREPLY < <(compgen -W "clients rooms listeners bans" -- "$cur") ;;
	send:0 | tail:0) kind=rooms ;;
	kick:0) kind=ids ;;
	ban:0) kind=addresses ;;
	unban:0) kind=bans ;;
	check:0 | passwd:0) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_chatctl_options "$command")" -- "$cur")
	elif [ -n "$kind" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(chatctl "${socket[@]}" complete "$kind" 2>/dev/null)" -- "$cur")
	fi
}

_chatctl_options() {
	case $1 in
	'') echo "--socket --config --json --help --version" ;;
	send) echo "--as" ;;
	tail) echo "-n -f -t --json" ;;
	join) echo "--room --nick --ca" ;;
	reload) echo "-q --json" ;;
	passwd) echo "-d" ;;
	*) echo "--json" ;;
	esac
}

complete -F _chatctl chatctl
