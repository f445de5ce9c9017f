//! The attempts of the escape suite: shell lines that print ESCAPED where they got through.

use super::suite::Scene;

/// Which box promises to hold it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Everywhere,
    /// Only one with namespaces; the report of the other says so.
    Namespaces,
}

pub struct Attempt {
    pub name: &'static str,
    pub script: String,
    pub holds: Holds,
    /// This machine's kernel or settings may lack it.
    pub optional: bool,
    /// The box may end the command for it.
    pub may_die: bool,
}

struct List(Vec<Attempt>);

impl List {
    fn add(&mut self, name: &'static str, script: impl Into<String>) -> &mut Attempt {
        let script = script.into();
        self.0.push(Attempt {
            name,
            script,
            holds: Holds::Everywhere,
            optional: false,
            may_die: false,
        });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

impl Attempt {
    fn namespaces(&mut self) -> &mut Self {
        self.holds = Holds::Namespaces;
        self
    }

    fn optional(&mut self) -> &mut Self {
        self.optional = true;
        self
    }

    fn may_die(&mut self) -> &mut Self {
        self.may_die = true;
        self
    }
}

/// Python that prints ESCAPED unless it raises.
fn python(code: &str) -> String {
    format!(
        "python3 -c \"import os,socket,ctypes,time\nc=ctypes.CDLL(None,use_errno=True)\n{code}\nprint('ESCAPED')\""
    )
}

/// A system call that is open where it answers with anything but an error.
fn call(code: &str) -> String {
    python(&format!("r={code}\nassert r>=0, ctypes.get_errno()"))
}

fn connect(family: &str, kind: &str, address: &str) -> String {
    python(&format!(
        "s=socket.socket(socket.{family},socket.{kind})\ns.settimeout(2)\ns.connect({address})\ns.send(b'x')"
    ))
}

pub fn attempts(scene: &Scene) -> Vec<Attempt> {
    let mut list = List(Vec::new());
    reading(&mut list, scene);
    writing(&mut list, scene);
    processes(&mut list, scene);
    network(&mut list, scene);
    kernel(&mut list, scene);
    bounds(&mut list, scene);
    // The numbers of calls are those of one architecture.
    let numbers_hold = cfg!(target_arch = "x86_64");
    list.0.retain(|attempt| numbers_hold || !attempt.script.contains("c.syscall("));
    list.0
}

fn reading(list: &mut List, scene: &Scene) {
    let root = &scene.root;
    let read = |path: &str| format!("grep -q hunter2 {path} && echo ESCAPED; true");
    list.add("read a file by its path", read(&format!("{root}/secret")));
    list.add("read a file beside the workspace", read("../secret"));
    list.add("read through a link", format!("ln -s {root}/secret l; {}", read("l")));
    list.add(
        "read through a link to a folder",
        format!("ln -s {root}/other d; {}", read("d/file")),
    );
    list.add("read through a hard link", format!("ln {root}/secret h; {}", read("h")));
    list.add("read through /proc/self/root", read(&format!("/proc/self/root{root}/secret")));
    list.add("read through /proc/self/cwd", read("/proc/self/cwd/../secret"));
    list.add(
        "read through an open folder",
        python(&format!(
            "d=os.open('{root}',os.O_RDONLY)\nf=os.open('secret',os.O_RDONLY,dir_fd=d)\nassert b'hunter2' in os.read(f,99)"
        )),
    );
    list.add(
        "read a path opened without reading",
        python(&format!(
            "d=os.open('{root}/secret',os.O_PATH)\nassert 'hunter2' in open('/proc/self/fd/%d'%d).read()"
        )),
    );
    list.add(
        "map a file",
        python(&format!(
            "import mmap\nf=os.open('{root}/secret',os.O_RDONLY)\nassert mmap.mmap(f,0,prot=mmap.PROT_READ)[:7]==b'hunter2'"
        )),
    );
    list.add("list another workspace", format!("ls {root}/other/file && echo ESCAPED; true"))
        .namespaces();
    list.add("list the folder above", format!("ls {root} | grep -q secret && echo ESCAPED; true"));
    list.add("read another attempt's private home", read(&format!("{root}/private/key")));
    list.add(
        "copy a mirror's object",
        format!("cp {root}/mirror/objects/blob . && echo ESCAPED; true"),
    );
    list.add("read the machine's files", "cat /etc/hostname >/dev/null && echo ESCAPED; true");
    list.add("read the machine's settings", "ls /var/lib/dpkg >/dev/null && echo ESCAPED; true")
        .optional();
    list.add("read the machine's mounts", "cat /etc/fstab >/dev/null && echo ESCAPED; true")
        .optional();
    list.add("see the machine's disks", "ls /sys/block >/dev/null && echo ESCAPED; true")
        .optional();
    list.add(
        "use a host device",
        "head -c1 /dev/fuse 2>&1 | grep -q 'not permitted' && echo ESCAPED; true",
    )
    .namespaces()
    .optional();
}

fn writing(list: &mut List, scene: &Scene) {
    let root = &scene.root;
    let write = |path: &str| format!("(echo x >{path}) 2>/dev/null && echo ESCAPED; true");
    list.add("write into another workspace", write(&format!("{root}/other/written")));
    list.add("write beside the workspace", write("../written"));
    list.add(
        "write through a link to a folder",
        format!("ln -s {root}/other d; {}", write("d/written")),
    );
    list.add("write through a link to a file", format!("ln -s {root}/secret l; {}", write("l")));
    list.add("append to a mirror's object", write(&format!("{root}/mirror/objects/blob")));
    list.add(
        "alter a mirror's object through a link",
        format!("ln -s {root}/mirror m; {}", write("m/objects/blob")),
    );
    list.add(
        "alter a mirror's object through a hard link",
        format!("ln {root}/mirror/objects/blob b && {}", write("b")),
    );
    list.add("delete another's file", format!("rm {root}/other/victim && echo ESCAPED; true"));
    list.add("move another's file", format!("mv {root}/other/victim taken && echo ESCAPED; true"));
    list.add("cut a file", format!("truncate -s 0 {root}/secret && echo ESCAPED; true"));
    list.add("change a file's mode", format!("chmod 600 {root}/secret && echo ESCAPED; true"))
        .namespaces();
    list.add("change a file's times", format!("touch -d @1 {root}/secret && echo ESCAPED; true"))
        .namespaces();
    list.add("mark a file", python(&format!("os.setxattr('{root}/secret','user.x',b'y')")))
        .namespaces()
        .optional();
    list.add(
        "write into a pipe of the host",
        python(&format!("f=os.open('{root}/pipe',os.O_WRONLY|os.O_NONBLOCK)\nos.write(f,b'x')")),
    );
    list.add("write into a tool's folder", write(&format!("{root}/shown/written")));
    list.add(
        "race a link against a folder",
        format!(
            "mkdir real; (for i in $(seq 200); do ln -sfn {root}/other swap; ln -sfn real swap; done) & \
             for i in $(seq 400); do (echo x >swap/written); done; wait\n\
             ln -sfn {root}/other swap; (echo x >swap/written); \
             [ -e {root}/other/written ] && echo ESCAPED; true"
        ),
    );
    list.add(
        "rename into another workspace",
        python(&format!("open('f','w').close()\nos.rename('f','{root}/other/written')")),
    );
    list.add(
        "leave a socket for the host",
        python("s=socket.socket(socket.AF_UNIX)\ns.bind('left.sock')"),
    );
}

fn processes(list: &mut List, scene: &Scene) {
    let pid = scene.neighbour;
    list.add(
        "read another process's environment",
        format!("grep -qa hunter2 /proc/{pid}/environ && echo ESCAPED; true"),
    );
    list.add(
        "see another process's arguments",
        format!("cat /proc/{pid}/cmdline && echo ESCAPED; true"),
    )
    .namespaces();
    list.add("see how it stands", format!("cat /proc/{pid}/status && echo ESCAPED; true"))
        .namespaces();
    list.add(
        "read its memory's map",
        format!("cat /proc/{pid}/maps >/dev/null && echo ESCAPED; true"),
    );
    list.add("read its memory", python(&format!(
        "a=int(open('/proc/{pid}/maps').readline().split('-')[0],16)\nm=open('/proc/{pid}/mem','rb')\nm.seek(a)\nassert m.read(4)"
    ))).optional();
    list.add(
        "reach files through its root",
        format!("grep -q hunter2 /proc/{pid}/root{}/secret && echo ESCAPED; true", scene.root),
    );
    list.add(
        "reach files through its folder",
        format!("grep -q hunter2 /proc/{pid}/cwd/key && echo ESCAPED; true"),
    );
    list.add(
        "reach files it has open",
        format!("grep -q hunter2 /proc/{pid}/fd/0 && echo ESCAPED; true"),
    );
    list.add("signal it", format!("kill -CONT {pid} && echo ESCAPED; true"));
    list.add(
        "signal it by a handle",
        python(&format!(
            "import signal\nf=os.pidfd_open({pid})\nsignal.pidfd_send_signal(f,signal.SIGCONT)"
        )),
    );
    list.add("trace it", call(&format!("c.ptrace(16,{pid},0,0)"))).optional();
    list.add("trace at all", call("c.ptrace(0,0,0,0)"));
    list.add("read memory across processes", call(
        "[c.process_vm_readv(os.getpid(),ctypes.byref(v),1,ctypes.byref(v),1,0) for b in [ctypes.create_string_buffer(8)] for v in [(ctypes.c_size_t*2)(ctypes.addressof(b),8)]][0]"
    ));
    list.add("take another's descriptor", call("c.syscall(438,os.pidfd_open(os.getpid()),0,0)"));
    list.add("compare processes", call("c.syscall(312,os.getpid(),os.getpid(),2,0,0)")).optional();
    list.add(
        "change its limits",
        python(&format!("import resource\nresource.prlimit({pid},resource.RLIMIT_CORE,(0,0))")),
    );
    list.add(
        "change its priority",
        format!("renice -n 19 -p {pid} >/dev/null && echo ESCAPED; true"),
    )
    .namespaces();
    list.add(
        "pin it to a processor",
        python(&format!("os.sched_setaffinity({pid},os.sched_getaffinity({pid}))")),
    )
    .namespaces();
    list.add("read shared memory", call(&format!("c.shmget({},4096,0)", scene.key))).namespaces();
}

fn network(list: &mut List, scene: &Scene) {
    let (root, tcp, name) = (&scene.root, scene.tcp, &scene.name);
    list.add("TCP", connect("AF_INET", "SOCK_STREAM", &format!("('127.0.0.1',{tcp})")));
    list.add(
        "TCP by the shell",
        format!("bash -c 'echo x >/dev/tcp/127.0.0.1/{tcp}' && echo ESCAPED; true"),
    );
    list.add(
        "TCP by a mapped address",
        connect("AF_INET6", "SOCK_STREAM", &format!("('::ffff:127.0.0.1',{tcp})")),
    )
    .optional();
    if let Some(port) = scene.tcp6 {
        list.add("TCP over IPv6", connect("AF_INET6", "SOCK_STREAM", &format!("('::1',{port})")))
            .optional();
    }
    let udp = format!("('127.0.0.1',{})", scene.udp);
    list.add("UDP", python(&format!(
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.connect({udp})\ns.send(b'x')\ntime.sleep(0.05)\ns.send(b'x')"
    )));
    list.add("DNS", python(&format!(
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.settimeout(1)\ns.sendto(b'query',('127.0.0.1',{}))\ns.recv(9)",
        scene.dns
    )));
    list.add("ping", python("s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM,1)")).optional();
    list.add(
        "a socket in the host's files",
        connect("AF_UNIX", "SOCK_STREAM", &format!("'{root}/host.sock'")),
    );
    list.add("the same by a short way", connect("AF_UNIX", "SOCK_STREAM", "'../host.sock'"));
    list.add(
        "the same through a link",
        format!("ln -s {root}/host.sock s; {}", connect("AF_UNIX", "SOCK_STREAM", "'s'")),
    );
    list.add("an abstract socket", connect("AF_UNIX", "SOCK_STREAM", &format!("'\\\\0{name}'")));
    list.add(
        "a datagram to the host's files",
        connect("AF_UNIX", "SOCK_DGRAM", &format!("'{root}/host.dgram'")),
    );
    list.add(
        "the kernel's messages",
        python("s=socket.socket(socket.AF_NETLINK,socket.SOCK_RAW,15)\ns.bind((0,0))"),
    );
    list.add("the kernel's cryptography", python("s=socket.socket(38,5,0)")).optional();
    list.add("the virtual machine's host", python("s=socket.socket(40,1,0)")).optional();
    list.add("bluetooth, packets and others", python(
        "n=0\nfor f in (3,5,6,9,21,29,30,31,33,35,41,44):\n  for k in (1,2,3,5):\n    try: socket.socket(f,k,0); n+=1\n    except OSError: pass\nassert n"
    )).optional();
}

fn kernel(list: &mut List, _scene: &Scene) {
    list.add("become root by a program", "./raised | grep -q 'euid=0' && echo ESCAPED; true")
        .optional();
    list.add("a user namespace", "unshare --user true && echo ESCAPED; true").optional();
    list.add(
        "root of a user namespace",
        "unshare --user --map-root-user true && echo ESCAPED; true",
    )
    .optional();
    list.add(
        "a user namespace by clone",
        call("c.syscall(56,0x10000000|17,0,0,0,0) or os._exit(0)"),
    )
    .optional();
    list.add("a user namespace by clone3", call(
        "[c.syscall(435,ctypes.byref(a),64) or os._exit(0) for a in [(ctypes.c_uint64*8)(0x10000000,0,0,0,17,0,0,0)]][0]"
    )).optional();
    list.add("a mount", "unshare -Urm mount -t tmpfs x /mnt && echo ESCAPED; true").optional();
    list.add("a file system of its own", call("c.syscall(430,b'tmpfs',0)")).optional();
    list.add("another root", "unshare -Ur chroot / true && echo ESCAPED; true").optional();
    list.add("io_uring", call("c.syscall(425,1,ctypes.create_string_buffer(120))")).optional();
    list.add("the keyring: add", call("c.syscall(248,b'user',b'foreman-test',b'x',1,-3)"))
        .optional();
    list.add("the keyring: look", call("c.syscall(250,0,-3,1)")).optional();
    list.add("the keyring: ask", call("c.syscall(250,1,b'foreman-test')")).optional();
    list.add("faults of memory", call("c.syscall(323,1)")).optional();
    list.add("programs in the kernel", call("c.syscall(321,0,ctypes.create_string_buffer(bytes([1,0,0,0,4,0,0,0,4,0,0,0,1,0,0,0])+bytes(100)),116)")).optional();
    list.add("performance counters", call("c.syscall(298,ctypes.create_string_buffer(bytes([1,0,0,0,112,0,0,0])+bytes(104)),0,-1,-1,0)")).optional();
    list.add("watch the whole system's files", call("c.syscall(300,0x200,0)")).optional();
    list.add("the kernel's log", "dmesg >/dev/null 2>&1 && echo ESCAPED; true").optional();
    list.add(
        "quotas of a disk",
        call("c.syscall(179,0x80000700,0,0,ctypes.create_string_buffer(64))"),
    )
    .optional();
    list.add("move another's memory", call("c.syscall(279,0,0,0,0,0,0)")).optional();
}

fn bounds(list: &mut List, _scene: &Scene) {
    list.add(
        "more processes than allowed",
        python(
            "p=[]\nfor i in range(300):\n  r=os.fork()\n  if r==0:\n    time.sleep(60)\n    os._exit(0)\n  p.append(r)\nfor r in p: os.kill(r,9)",
        ),
    )
    .may_die();
    list.add(
        "a larger limit than given",
        python("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE,(9000,9000))"),
    )
    .optional();
    list.add(
        "a core file",
        python("import resource\nresource.setrlimit(resource.RLIMIT_CORE,(1<<20,1<<20))"),
    )
    .optional();
    list.add(
        "a file beyond the limit",
        python("f=open('big','wb')\nf.truncate(5<<30)\nassert os.stat('big').st_size>4<<30"),
    );
    list.add("shared memory beyond the limit", "head -c 300000000 /dev/zero >/dev/shm/foreman-test-$$ && echo ESCAPED; rm -f /dev/shm/foreman-test-$$; true").optional();
}
