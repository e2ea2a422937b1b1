# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ropewalk_global_optspecs
    string join \n c/config= listen= port= strategy= backend= request-timeout= health-interval= workers= admin= watch log-level= h/help V/version
end

function __fish_ropewalk_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ropewalk_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ropewalk_using_subcommand
    set -l cmd (__fish_ropewalk_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ropewalk -n "__fish_ropewalk_needs_command" -s c -l config -d 'The configuration file (JSON); - for standard input' -r -F
complete -c ropewalk -n "__fish_ropewalk_needs_command" -l listen -d 'Listen on this address, such as 127.0.0.1:8080; repeat for several' -r
complete -c ropewalk -n "__fish_ropewalk_needs_command" -l port -d 'Listen on this port on all IPv4 addresses [default: 8080]' -r
complete -c ropewalk -n "__fish_ropewalk_needs_command" -l strategy -d 'round-robin, weighted-round-robin, least-connections or random [default: round-robin]' -r -f -a "round-robin\t''
weighted-round-robin\t''
least-connections\t''
random\t''"
complete -c ropewalk -n "__fish_ropewalk_needs_command" -l backend -d 'A backend, such as http://127.0.0.1:9001, or with a weight ...:9001=3; repeat for several' -r
complete -c ropewalk -n "__fish_ropewalk_needs_command" -l request-timeout -d 'Time limit for the response head of a request; 0s for no limit [default: 60s]' -r
complete -c ropewalk -n "__fish_ropewalk_needs_command" -l health-interval -d 'Time between health probes [default: 5s]' -r
complete -c ropewalk -n "__fish_ropewalk_needs_command" -l workers -d 'Worker threads [default: one per core, at least 2]' -r
complete -c ropewalk -n "__fish_ropewalk_needs_command" -l admin -d 'Address of the admin listener for status and metrics, such as 127.0.0.1:9900 [default: none]' -r
complete -c ropewalk -n "__fish_ropewalk_needs_command" -l log-level -d 'off, error, warn, info, debug or trace [default: info]' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c ropewalk -n "__fish_ropewalk_needs_command" -l watch -d 'Reload the configuration when its file changes'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -s h -l help -d 'Print help'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -s V -l version -d 'Print version'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "check" -d 'Check a configuration: list all mistakes, each with its position and a remedy'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "explain" -d 'Explain what would happen to a request, and why'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "plan" -d 'Print what a reload from one configuration to another would change'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "schema" -d 'Print the JSON Schema of the configuration, for editors'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "demo" -d 'Try it: the balancer, three sample origins and a status page, with lines to paste'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "origin" -d 'Run a sample origin: "Response from NAME" on every path but /health, /echo, /stream and /ws'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "status" -d 'Show the status of a running ropewalk; fails if a pool has no usable backend'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "requests" -d 'List the requests in flight, oldest first'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "reload" -d 'Reload the configuration file'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "drain" -d 'Stop sending new requests to a backend'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "enable" -d 'Restore a backend\'s configured weight'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "weight" -d 'Change a backend\'s share of requests'
complete -c ropewalk -n "__fish_ropewalk_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -s c -l config -d 'The configuration file (JSON); - for standard input' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l listen -d 'Listen on this address, such as 127.0.0.1:8080; repeat for several' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l port -d 'Listen on this port on all IPv4 addresses [default: 8080]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l strategy -d 'round-robin, weighted-round-robin, least-connections or random [default: round-robin]' -r -f -a "round-robin\t''
weighted-round-robin\t''
least-connections\t''
random\t''"
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l backend -d 'A backend, such as http://127.0.0.1:9001, or with a weight ...:9001=3; repeat for several' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l request-timeout -d 'Time limit for the response head of a request; 0s for no limit [default: 60s]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l health-interval -d 'Time between health probes [default: 5s]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l workers -d 'Worker threads [default: one per core, at least 2]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l admin -d 'Address of the admin listener for status and metrics, such as 127.0.0.1:9900 [default: none]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l log-level -d 'off, error, warn, info, debug or trace [default: info]' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l format -d 'Output format' -r -f -a "text\t'Text for people'
json\t'One JSON object for programs'"
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l watch -d 'Reload the configuration when its file changes'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -l elsewhere -d 'The configuration is for another host: do not read or test the files it names'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -s c -l config -d 'The configuration file (JSON); - for standard input' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l listen -d 'Listen on this address, such as 127.0.0.1:8080; repeat for several' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l port -d 'Listen on this port on all IPv4 addresses [default: 8080]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l strategy -d 'round-robin, weighted-round-robin, least-connections or random [default: round-robin]' -r -f -a "round-robin\t''
weighted-round-robin\t''
least-connections\t''
random\t''"
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l backend -d 'A backend, such as http://127.0.0.1:9001, or with a weight ...:9001=3; repeat for several' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l request-timeout -d 'Time limit for the response head of a request; 0s for no limit [default: 60s]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l health-interval -d 'Time between health probes [default: 5s]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l workers -d 'Worker threads [default: one per core, at least 2]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l admin -d 'Address of the admin listener for status and metrics, such as 127.0.0.1:9900 [default: none]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l log-level -d 'off, error, warn, info, debug or trace [default: info]' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -s H -l header -d 'A header field; repeat for several' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l down -d 'Treat this backend as down; repeat for several' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l client -d 'The client\'s address [default: an example that the route serves]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -l watch -d 'Reload the configuration when its file changes'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand explain" -s h -l help -d 'Print help'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand plan" -s h -l help -d 'Print help'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand schema" -s h -l help -d 'Print help'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand demo" -s h -l help -d 'Print help'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand origin" -l port -d 'The port to listen on at 127.0.0.1; 0 picks a free one' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand origin" -l listen -d 'The address to listen on, such as 0.0.0.0:9001, which answers anyone who can reach it' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand origin" -l name -d 'Its name in responses' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand origin" -l delay -d 'Delay responses by this time, such as 50ms (except /health)' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand origin" -l status -d 'Respond with this status (except /health, which gets 200, and /ws, which gets 101)' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand origin" -l end-with-parent -d 'Exit when the process that started it exits'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand origin" -s h -l help -d 'Print help'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand status" -l format -d 'Output format' -r -f -a "text\t'Text for people'
json\t'One JSON object for programs'"
complete -c ropewalk -n "__fish_ropewalk_using_subcommand status" -s c -l config -d 'Take the address and token of the admin listener from this configuration file' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand status" -l admin -d 'Address of the admin listener [default: ROPEWALK_ADMIN, or else 127.0.0.1:9900]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand status" -l token-file -d 'File with the token of the admin listener' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand status" -l token -d 'The token itself. Every user of this machine can see it in the process list: prefer --token-file or ROPEWALK_ADMIN_TOKEN' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand requests" -l format -d 'Output format' -r -f -a "text\t'Text for people'
json\t'One JSON object for programs'"
complete -c ropewalk -n "__fish_ropewalk_using_subcommand requests" -s c -l config -d 'Take the address and token of the admin listener from this configuration file' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand requests" -l admin -d 'Address of the admin listener [default: ROPEWALK_ADMIN, or else 127.0.0.1:9900]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand requests" -l token-file -d 'File with the token of the admin listener' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand requests" -l token -d 'The token itself. Every user of this machine can see it in the process list: prefer --token-file or ROPEWALK_ADMIN_TOKEN' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand requests" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand reload" -s c -l config -d 'Take the address and token of the admin listener from this configuration file' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand reload" -l admin -d 'Address of the admin listener [default: ROPEWALK_ADMIN, or else 127.0.0.1:9900]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand reload" -l token-file -d 'File with the token of the admin listener' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand reload" -l token -d 'The token itself. Every user of this machine can see it in the process list: prefer --token-file or ROPEWALK_ADMIN_TOKEN' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand reload" -s h -l help -d 'Print help'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand drain" -l for -d 'For this long, such as 5m; otherwise until it is enabled' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand drain" -l wait -d 'Wait until no requests are in flight there, for at most this long' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand drain" -s c -l config -d 'Take the address and token of the admin listener from this configuration file' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand drain" -l admin -d 'Address of the admin listener [default: ROPEWALK_ADMIN, or else 127.0.0.1:9900]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand drain" -l token-file -d 'File with the token of the admin listener' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand drain" -l token -d 'The token itself. Every user of this machine can see it in the process list: prefer --token-file or ROPEWALK_ADMIN_TOKEN' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand drain" -s h -l help -d 'Print help'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand enable" -s c -l config -d 'Take the address and token of the admin listener from this configuration file' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand enable" -l admin -d 'Address of the admin listener [default: ROPEWALK_ADMIN, or else 127.0.0.1:9900]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand enable" -l token-file -d 'File with the token of the admin listener' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand enable" -l token -d 'The token itself. Every user of this machine can see it in the process list: prefer --token-file or ROPEWALK_ADMIN_TOKEN' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand enable" -s h -l help -d 'Print help'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand weight" -l for -d 'For this long, such as 5m; otherwise until it is enabled' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand weight" -s c -l config -d 'Take the address and token of the admin listener from this configuration file' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand weight" -l admin -d 'Address of the admin listener [default: ROPEWALK_ADMIN, or else 127.0.0.1:9900]' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand weight" -l token-file -d 'File with the token of the admin listener' -r -F
complete -c ropewalk -n "__fish_ropewalk_using_subcommand weight" -l token -d 'The token itself. Every user of this machine can see it in the process list: prefer --token-file or ROPEWALK_ADMIN_TOKEN' -r
complete -c ropewalk -n "__fish_ropewalk_using_subcommand weight" -s h -l help -d 'Print help'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "check" -d 'Check a configuration: list all mistakes, each with its position and a remedy'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "explain" -d 'Explain what would happen to a request, and why'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "plan" -d 'Print what a reload from one configuration to another would change'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "schema" -d 'Print the JSON Schema of the configuration, for editors'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "demo" -d 'Try it: the balancer, three sample origins and a status page, with lines to paste'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "origin" -d 'Run a sample origin: "Response from NAME" on every path but /health, /echo, /stream and /ws'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "status" -d 'Show the status of a running ropewalk; fails if a pool has no usable backend'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "requests" -d 'List the requests in flight, oldest first'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "reload" -d 'Reload the configuration file'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "drain" -d 'Stop sending new requests to a backend'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "enable" -d 'Restore a backend\'s configured weight'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "weight" -d 'Change a backend\'s share of requests'
complete -c ropewalk -n "__fish_ropewalk_using_subcommand help; and not __fish_seen_subcommand_from check explain plan schema demo origin status requests reload drain enable weight help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
