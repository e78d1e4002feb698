#!/bin/sh
# Stands in for `docker` and for `kind`, by the name it is called. Writes each call to `calls`; fails where `fail` says so.
# A node is a process in a network namespace of its own: NODE.made while there is one, NODE.pid while it runs.
set -eu
program=$(basename "$0")
cd "$(dirname "$0")"
call="$program $*"
echo "$call" >> calls
if [ -e fail ]; then
  case "$call" in "$(cat fail)"*) echo "a failure on purpose" >&2; exit 1 ;; esac
fi

plug() { # NODE: its second link, with the address asked for
  nsenter "--net=/proc/$(cat "$1.pid")/ns/net" sh -ec \
    "ip link add eth1 type veth peer name other; ip address add $(cat "$1.address")/24 dev eth1; ip link set eth1 up"
}

run() { # NODE
  [ ! -e "$1.pid" ] || return 0
  unshare --net sleep 1000000 < /dev/null > /dev/null 2>&1 &
  while [ "$(readlink "/proc/$!/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
  echo "$!" > "$1.pid"
  touch "$1.made"
  [ ! -e "$1.address" ] || plug "$1"
}

end() { # NODE
  [ ! -e "$1.pid" ] || kill -9 "$(cat "$1.pid")"
  rm -f "$1.pid"
}

inside() { # NODE COMMAND...
  node=$1; shift
  case "$*" in
    "sh -c "*"mkdir -p stopped"*) touch "$node.control-plane-stopped" ;;
    "sh -c "*"mv "*) rm -f "$node.control-plane-stopped" ;;
    "sh -c ls "*)
      [ -e "$node.control-plane-stopped" ] || for component in etcd kube-apiserver kube-controller-manager kube-scheduler; do
        echo "/etc/kubernetes/manifests/$component.yaml"
      done
      echo /proc/1 ;;
    *" node $node")
      echo "{\"metadata\": {\"name\": \"$node\"}, \"status\": {\"conditions\": [{\"type\": \"Ready\", \"status\": \"True\"," \
        "\"lastHeartbeatTime\": \"$(date -u -d +1minute +%Y-%m-%dT%H:%M:%SZ)\"}]}}" ;;
    *" serviceaccount default") echo '{}' ;;
    *) echo "unknown in a node: $*" >&2; exit 64 ;;
  esac
}

case "$call" in
  "docker info "*) cat /proc/sys/kernel/hostname ;;
  "docker network ls "*) [ ! -e network ] || echo 0a1b2c3d4e5f ;;
  "docker network create "*) touch network ;;
  "docker network rm "*) rm network ;;
  "docker network connect "*) echo "$4" > "$6.address"; plug "$6" ;;
  "docker ps "*)
    node=${4#name=^}; node=${node%\$}
    if [ -e "$node.pid" ]; then echo running; elif [ -e "$node.made" ]; then echo exited; fi ;;
  "docker inspect "*) cat elsewhere 2> /dev/null || cat "$4.pid" ;;
  "docker start "*) [ -e "$2.made" ] && run "$2" ;;
  "docker stop "*) end "$4" ;;
  "docker exec "*) shift; inside "$@" ;;
  "kind version") echo "kind v0.31.0" ;;
  "kind create cluster "*)
    run "$4-control-plane"
    [ ! -e kill ] || { rm kill; kill -9 "$PPID"; } ;;
  "kind delete cluster "*) end "$4-control-plane"; rm -f "$4-control-plane".* ;;
  "kind get kubeconfig "*) printf 'clusters:\n- cluster:\n    server: https://127.0.0.1:40123\n  name: kind-%s\n' "$4" ;;
  "kind load "*) ;;
  *) echo "unknown: $call" >&2; exit 64 ;;
esac
