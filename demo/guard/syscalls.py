"""Numbers of the system calls that a locked-in process is refused (`sandbox`), by architecture.

REFUSED are names; a call that an architecture lacks has no number there.
"""

ALIKE = {  # since Linux 5.0 a new call has one number everywhere
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_open": 434,
    "clone3": 435,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
    "process_mrelease": 448,
    "fchmodat2": 452,
}
_TABLE = """
architecture 0xC000003E 0xC00000B7
seccomp 317 277
clone 56 220
kill 62 129
tgkill 234 131
tkill 200 130
rt_sigqueueinfo 129 138
rt_tgsigqueueinfo 297 240
prlimit64 302 261
socket 41 198
socketpair 53 199
bind 49 200
listen 50 201
accept 43 202
accept4 288 242
connect 42 203
fork 57 -
vfork 58 -
execve 59 221
execveat 322 281
ptrace 101 117
process_vm_readv 310 270
process_vm_writev 311 271
kcmp 312 272
setrlimit 160 164
setpriority 141 140
sched_setaffinity 203 122
sched_setscheduler 144 119
sched_setparam 142 118
mount 165 40
umount2 166 39
pivot_root 155 41
chroot 161 51
unshare 272 97
setns 308 268
bpf 321 280
perf_event_open 298 241
userfaultfd 323 282
keyctl 250 219
add_key 248 217
request_key 249 218
init_module 175 105
finit_module 313 273
delete_module 176 106
kexec_load 246 104
reboot 169 142
swapon 167 224
swapoff 168 225
open_by_handle_at 304 265
name_to_handle_at 303 264
fanotify_init 300 262
inotify_add_watch 254 27
truncate 76 45
chmod 90 -
fchmod 91 52
fchmodat 268 53
chown 92 -
lchown 94 -
fchown 93 55
fchownat 260 54
setxattr 188 5
lsetxattr 189 6
fsetxattr 190 7
utime 132 -
utimes 235 -
futimesat 261 -
utimensat 280 88
shmget 29 194
shmat 30 196
msgget 68 186
semget 64 190
mq_open 240 180
"""
_ROWS = [line.split() for line in _TABLE.split("\n") if line]
ARCHITECTURES = {
    column: {row[0]: int(row[place], 0) for row in _ROWS if row[place] != "-"}
    for place, column in ((1, "x86_64"), (2, "aarch64"))
}
ON_ONESELF = ("kill", "tgkill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")  # first argument: itself
_DECIDED = {"architecture", "seccomp", "clone", "clone3", "prlimit64", *ON_ONESELF}
REFUSED = [name for name in (*(row[0] for row in _ROWS), *ALIKE) if name not in _DECIDED]
