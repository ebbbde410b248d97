# shellcheck shell=bash disable=SC2154
# AppArmor: the default profile, others, and none.

told() { ctlc run --rm "$@" $image sh -c 'cat /proc/self/attr/current'; }

t_apparmor() {
    has "$(ctlc info -f '{{.SecurityOptions}}')" name=apparmor
    start $image sleep 1000
    same "$(inspect "$id" .AppArmorProfile)" docker-default AppArmorProfile
    same "$(ctlc exec "$id" cat /proc/self/attr/current)" 'docker-default (enforce)' "of an exec"
    same "$(told --user 1000 --security-opt no-new-privileges)" 'docker-default (enforce)' "of a user"
    same "$(told --init)" 'docker-default (enforce)' "below an init"
    same "$(told --privileged)" unconfined "of a privileged one"
    same "$(told --security-opt apparmor=unconfined)" unconfined "of an unconfined one"
}

t_apparmor_bites() {
    local mount='mkdir /m && mount -t tmpfs none /m'
    ctlc run --rm --cap-add SYS_ADMIN $image sh -c "$mount" && fail "a mount under the default profile"
    ctlc run --rm --cap-add SYS_ADMIN --security-opt apparmor=unconfined $image sh -c "$mount" ||
        fail "no mount without a profile"
    # What a container writes to, and its signals, are its own affair.
    ctlc run --rm $image sh -c 'echo 5 >/proc/self/oom_score_adj && sleep 9 & sleep 0.1; kill $! && wait $!; [ $? = 143 ]' ||
        fail "an ordinary program"
}

t_apparmor_profile() {
    apparmor_parser -r <<'PROFILE' || fail "apparmor_parser"
profile guarded flags=(attach_disconnected,mediate_deleted) {
  network, capability, file, signal,
  deny /secret rw,
}
PROFILE
    same "$(told --security-opt apparmor=guarded)" 'guarded (enforce)' "of the custom profile"
    ctlc run --rm --security-opt apparmor=guarded $image sh -c 'echo x >/secret' && fail "wrote /secret"
    ctlc run --rm --security-opt apparmor=guarded $image sh -c 'echo x >/open' || fail "did not write /open"
    start --security-opt apparmor=guarded $image sleep 1000
    same "$(inspect "$id" .AppArmorProfile)" guarded AppArmorProfile
    has "$(ctlc run --rm --security-opt apparmor=nowhere $image true 2>&1)" 'apparmor failed to apply profile'
    # Somebody has unloaded the default: it is loaded again.
    printf docker-default >/sys/kernel/security/apparmor/.remove
    same "$(told)" 'docker-default (enforce)' "after it was unloaded"
}

t_at_once() {
    same "$(seq 12 | xargs -P 6 -I {} timeout 120 ctlc run --rm -m 32m $image echo {} | sort -n | xargs)" \
        '1 2 3 4 5 6 7 8 9 10 11 12' "what was said"
}
