# SPDX-License-Identifier: MIT
# fish completion for chatctl: commands, and rooms, ids and bans of the running daemon.

# The socket or configuration that was given before the command.
function __chatctl_socket
    set -l words (commandline -opc)
    for i in (seq 2 (count $words))
        switch $words[$i]
            case -s --socket -c --config -H --host
                printf '%s\n' $words[$i]
                test $i -lt (count $words); and printf '%s\n' $words[(math $i + 1)]
        end
    end
end

function __chatctl_from
    chatctl (__chatctl_socket) complete $argv[1] 2>/dev/null
end

# The command and what follows it, without options.
function __chatctl_words
    set -l words (commandline -opc)
    set -l skip 0
    for word in $words[2..]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case -s --socket -c --config -H --host --since --until --before --from --grep --room --listener --address --nick --format --as --ca -n
                set skip 1
            case '-*'
            case '*'
                printf '%s\n' $word
        end
    end
end

# Whether the word to be completed is the N-th (from 0) after one of the commands.
function __chatctl_at
    set -l words (__chatctl_words)
    test (count $words) -eq (math $argv[1] + 1); and contains -- $words[1] $argv[2..]
end

function __chatctl_no_command
    test (count (__chatctl_words)) -eq 0
end

complete -c chatctl -f
complete -c chatctl -n __chatctl_no_command -a '(__chatctl_from commands)'
complete -c chatctl -n __chatctl_no_command -s s -l socket -r -F -d 'the control socket'
complete -c chatctl -n __chatctl_no_command -s c -l config -r -F -d 'the configuration'
complete -c chatctl -n __chatctl_no_command -s H -l host -x -d 'the machine, by ssh'
complete -c chatctl -n __chatctl_no_command -s j -l json -d 'output for programs'
complete -c chatctl -n '__chatctl_at 0 help' -a '(__chatctl_from commands)'
complete -c chatctl -n '__chatctl_at 0 list' -a 'clients rooms listeners bans nodes'
complete -c chatctl -n '__chatctl_at 0 send tail history export' -a '(__chatctl_from rooms)'
complete -c chatctl -n '__chatctl_at 0 kick' -a '(__chatctl_from ids)'
complete -c chatctl -n '__chatctl_at 0 ban' -a '(__chatctl_from addresses)'
complete -c chatctl -n '__chatctl_at 0 unban' -a '(__chatctl_from bans)'
complete -c chatctl -n '__chatctl_at 0 check passwd backup' -F
complete -c chatctl -n '__chatctl_at 0 log-level' -a 'error warning notice info debug'
complete -c chatctl -n '__chatctl_at 0 token' -a 'add list revoke'
complete -c chatctl -n '__chatctl_at 1 token; or __chatctl_at 2 token' -F
complete -c chatctl -n 'contains list (__chatctl_words)' -l all -d 'clients of other nodes, too'
complete -c chatctl -n 'contains list (__chatctl_words)' -l room -x -a '(__chatctl_from rooms)' -d 'who is in this room'
complete -c chatctl -n 'contains list (__chatctl_words)' -l listener -x -a '(__chatctl_from listeners)' -d 'clients of this listener'
complete -c chatctl -n 'contains list (__chatctl_words)' -l address -x -a '(__chatctl_from addresses)' -d 'clients from there'
complete -c chatctl -n 'contains list (__chatctl_words)' -l nick -x -d 'the client of that nick'
complete -c chatctl -n 'contains kick (__chatctl_words)' -l nick -d 'it is a nick, although it is a number'
complete -c chatctl -n 'contains send (__chatctl_words)' -l as -x -d 'under a name that nobody has'
complete -c chatctl -n 'contains tail (__chatctl_words)' -s n -x -d 'that many messages'
complete -c chatctl -n 'contains tail (__chatctl_words)' -s f -d 'go on'
complete -c chatctl -n 'contains tail (__chatctl_words)' -s t -d 'with times'
complete -c chatctl -n 'contains reload (__chatctl_words)' -s q -d 'mistakes are in the log only'
complete -c chatctl -n 'contains passwd (__chatctl_words)' -s d -d 'delete the account'
complete -c chatctl -n 'contains passwd (__chatctl_words)' -s S -d 'without a verifier for SCRAM'
complete -c chatctl -n 'contains token (__chatctl_words)' -l room -x -a '(__chatctl_from rooms)' -d 'for this room'
complete -c chatctl -n 'contains token (__chatctl_words)' -l read -d 'it may read'
complete -c chatctl -n 'contains token (__chatctl_words)' -l speak -d 'it may speak'
complete -c chatctl -n 'contains join (__chatctl_words)' -l room -x -a '(__chatctl_from rooms)' -d 'the room'
complete -c chatctl -n 'contains join (__chatctl_words)' -l nick -x -d 'the name'
complete -c chatctl -n 'contains join (__chatctl_words)' -l ca -r -F -d 'certificates to trust'
complete -c chatctl -n 'contains history (__chatctl_words); or contains search (__chatctl_words)' -s n -x -d 'that many messages'
complete -c chatctl -n 'contains history (__chatctl_words); or contains search (__chatctl_words); or contains export (__chatctl_words); or contains forget (__chatctl_words)' -l since -x -a '1h 24h 7d today yesterday' -d 'not before'
complete -c chatctl -n 'contains history (__chatctl_words); or contains search (__chatctl_words); or contains export (__chatctl_words)' -l until -x -a '1h 24h 7d today yesterday' -d 'only before'
complete -c chatctl -n 'contains history (__chatctl_words); or contains search (__chatctl_words); or contains export (__chatctl_words)' -l from -x -d 'what that nick said'
complete -c chatctl -n 'contains history (__chatctl_words)' -l grep -x -d 'with these words in it'
complete -c chatctl -n 'contains history (__chatctl_words)' -l notices -d 'comings and goings, too'
complete -c chatctl -n 'contains search (__chatctl_words); or contains forget (__chatctl_words)' -l room -x -a '(__chatctl_from rooms)' -d 'the room'
complete -c chatctl -n 'contains export (__chatctl_words)' -l format -x -a 'jsonl mbox' -d 'how it is printed'
complete -c chatctl -n 'contains forget (__chatctl_words)' -l nick -x -d 'those of a nick'
complete -c chatctl -n 'contains forget (__chatctl_words)' -l before -x -a '1h 24h 7d today yesterday' -d 'only before'
complete -c chatctl -n 'contains forget (__chatctl_words)' -s y -l yes -d 'do not ask'
