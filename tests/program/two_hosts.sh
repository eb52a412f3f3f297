# Hosts h1 and h2, each with a cable to a bridge on which this machine is a third, in namespaces of their own: sh two_hosts.sh RATE
# COMMAND. The cables carry no more than RATE, such as 100mbit, if it is not empty.
set -e
mount -t tmpfs none /run
mkdir /run/netns
ip link add bridge type bridge
ip addr add 10.77.0.254/24 dev bridge
ip link set bridge up
ip link set lo up
for host in 1 2; do
    ip netns add h$host
    ip link add cable$host type veth peer name eth0 netns h$host
    ip link set cable$host master bridge up
    ip -n h$host addr add 10.77.0.$host/24 dev eth0
    ip -n h$host link set eth0 up
    ip -n h$host link set lo up
    if [ -n "$1" ]; then
        tc qdisc add dev cable$host root tbf rate $1 burst 32kbit latency 400ms
        nsenter --net=/run/netns/h$host tc qdisc add dev eth0 root tbf rate $1 burst 32kbit latency 400ms
    fi
done
printf '127.0.0.1 localhost\n10.77.0.1 h1\n10.77.0.2 h2\n' >/run/hosts
mount --bind /run/hosts /etc/hosts
shift
exec "$@"
