# A store in one thread, to be hurt by what is done to hosts: kv.pl LISTEN LEADER FILE. The leader
# has every write on its disk before it answers; the other nodes ask it for everything.
use strict;
use warnings;
use Errno qw(ECONNREFUSED);
use IO::Handle;
use IO::Select;
use IO::Socket::INET;

my ($listen, $leader, $file) = @ARGV;
my (%data, $log);
$SIG{PIPE} = 'IGNORE';
if ($listen eq $leader) {
    open $log, '+>>', $file or die "$file: $!";
    seek $log, 0, 0;
    while (<$log>) { $data{$1} = $2 if /^(\S+) (-?\d+)\n/ }
    print $log "\n"; # ends what a failure of the power has left of a line
}

# answer returns the status and the value that a request is answered with.
sub answer {
    my ($method, $key, $body) = @_;
    return ask($method, $key, $body) unless $log;
    return exists $data{$key} ? (200, $data{$key}) : (404, 'null') if $method eq 'GET';
    my ($value) = $body =~ /"value": *(-?\d+)/ or return (400, 'null');
    print $log "$key $value\n" and $log->flush and $log->sync or die "$file: $!";
    $data{$key} = $value;
    return (200, $value);
}

# ask passes a request on to the leader.
sub ask {
    my ($method, $key, $body) = @_;
    my $to = IO::Socket::INET->new(PeerAddr => $leader, Timeout => 1)
        or return ($! == ECONNREFUSED ? 503 : 504, 'null'); # 503: nothing was sent
    print $to "$method $key HTTP/1.1\r\nContent-Length: ", length $body, "\r\n\r\n$body";
    $to->flush;
    my ($text, $wait) = ('', IO::Select->new($to));
    while ($text !~ /\r\n\r\n.*\}/s) {
        $wait->can_read(1) and sysread $to, $text, 4096, length $text or return (504, 'null');
    }
    my ($status, $value) = $text =~ m{^HTTP/1.1 (\d+) .*"value": (\S+)\}}s or return (504, 'null');
    return ($status, $value);
}

my $server = IO::Socket::INET->new(LocalAddr => $listen, Listen => 64, ReuseAddr => 1)
    or die "$listen: $!";
my ($all, %got) = (IO::Select->new($server));
while (1) {
    for my $from ($all->can_read) {
        if ($from == $server) {
            my $new = $server->accept or next;
            $all->add($new);
            $got{$new} = '';
            next;
        }
        unless (sysread $from, $got{$from}, 4096, length $got{$from}) {
            $all->remove($from);
            delete $got{$from};
            close $from;
            next;
        }
        while ($got{$from} =~ /^(\S+) (\S+) .*?\r\n\r\n/s) {
            my ($head, $method, $key) = ($&, $1, $2);
            my $length = $head =~ /^Content-Length: (\d+)/im ? $1 : 0;
            last if length $got{$from} < length($head) + $length;
            my $body = substr $got{$from}, length $head, $length;
            substr $got{$from}, 0, length($head) + $length, '';
            my ($status, $value) = answer($method, $key, $body);
            my $text = "{\"value\": $value}";
            print $from "HTTP/1.1 $status so\r\nContent-Length: ", length $text, "\r\n\r\n$text";
            $from->flush;
        }
    }
}
