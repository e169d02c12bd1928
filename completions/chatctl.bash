# SPDX-License-Identifier: MIT
# bash completion for chatctl: commands, and rooms, ids and bans of the running daemon.
_chatctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} command='' socket=() i word place=0
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-s | --socket | -c | --config | -H | --host)
			[ -n "$command" ] || socket+=("$word" "${COMP_WORDS[i + 1]}")
			((i++))
			;;
		--since | --until | --before | --from | --grep | --room | --listener | --address | --nick | --format | --as | --ca | -n) ((i++)) ;;
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
	--listener)
		mapfile -t COMPREPLY < <(compgen -W "$(chatctl "${socket[@]}" complete listeners 2>/dev/null)" -- "$cur")
		return
		;;
	--address)
		mapfile -t COMPREPLY < <(compgen -W "$(chatctl "${socket[@]}" complete addresses 2>/dev/null)" -- "$cur")
		return
		;;
	--format)
		mapfile -t COMPREPLY < <(compgen -W "jsonl mbox" -- "$cur")
		return
		;;
	--since | --until | --before)
		mapfile -t COMPREPLY < <(compgen -W "1h 24h 7d today yesterday" -- "$cur")
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
	list:0) mapfile -t COMPREPLY < <(compgen -W "clients rooms listeners bans nodes" -- "$cur") ;;
	send:0 | tail:0 | history:0 | export:0) kind=rooms ;;
	kick:0) kind=ids ;;
	ban:0) kind=addresses ;;
	unban:0) kind=bans ;;
	token:0) mapfile -t COMPREPLY < <(compgen -W "add list revoke" -- "$cur") ;;
	log-level:0) mapfile -t COMPREPLY < <(compgen -W "error warning notice info debug" -- "$cur") ;;
	check:0 | passwd:0 | backup:0 | token:1 | token:2) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_chatctl_options "$command")" -- "$cur")
	elif [ -n "$kind" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(chatctl "${socket[@]}" complete "$kind" 2>/dev/null | cut -f 1)" -- "$cur")
		[ "$kind" != commands ] || _chatctl_describe "$cur"
	fi
}

# What several commands are for: bash shows it beside them, since they don't begin with the same letters any more then. Only
# where a list is asked for (a second Tab), so that nothing of it gets into the line.
_chatctl_describe() {
	[ "${COMP_TYPE:-9}" = 63 ] && [ "${#COMPREPLY[@]}" -gt 1 ] || return 0
	local name help
	COMPREPLY=()
	while IFS=$'\t' read -r name help; do
		[[ $name == "$1"* ]] && COMPREPLY+=("$(printf '%-10s %.*s' "$name" $((${COLUMNS:-80} - 12)) "$help")")
	done < <(chatctl complete commands)
}

_chatctl_options() {
	case $1 in
	'') echo "--socket --config --host --json --help --version" ;;
	list) echo "--all --room --listener --address --nick --json" ;;
	send) echo "--as" ;;
	kick) echo "--nick --json" ;;
	tail) echo "-n -f -t --json" ;;
	history) echo "-n --since --until --from --grep --notices --json" ;;
	search) echo "-n --room --since --until --from --json" ;;
	export) echo "--format --since --until --from" ;;
	forget) echo "--room --nick --since --before --yes --json" ;;
	join) echo "--room --nick --ca" ;;
	reload) echo "-q --json" ;;
	passwd) echo "-d -S" ;;
	token) echo "--room --read --speak --json" ;;
	*) echo "--json" ;;
	esac
}

complete -F _chatctl chatctl
