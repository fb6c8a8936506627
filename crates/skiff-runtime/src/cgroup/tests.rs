//! Control groups on the real kernel (v1 or hybrid hosts), and v2 logic on a made-up tree.
//!
//! A thread that writes "0" to `tasks` moves itself alone, so a test thread stands for the
//! container's first process.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, Timespec};
use skiff_model::oci::{Cpu, HugepageLimit, Memory, Pids, Resources};

use super::devices::tests::{docker_default, rule};
use super::*;

static NEXT: AtomicU32 = AtomicU32::new(0);

fn unique(name: &str) -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{number}", std::process::id())
}

/// A group that is removed with everything in it.
struct Temporary(Cgroup);

impl Temporary {
    fn create(resources: Resources) -> Temporary {
        let path = format!("/{}/group", unique("skiff-test"));
        let config = CgroupConfig { path, resources, ..CgroupConfig::default() };
        Temporary(Cgroup::create(&config).unwrap())
    }

    fn read(&self, controller: Controller, name: &str) -> String {
        file::read(self.0.paths().v1_dir(controller).unwrap(), name).unwrap().trim().to_owned()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = self.0.kill_all();
        let _ = self.0.remove();
        for dir in self.0.paths().all_dirs() {
            let _ = std::fs::remove_dir(dir.parent().unwrap());
        }
    }
}

/// A process that does nothing, reaped in the end.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Sleeper {
        Sleeper(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap()
    }

    fn number(&self) -> i32 {
        self.pid().as_raw_nonzero().get()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The kernel tests below are about v1; a unified host runs those on the made-up tree only.
fn v1_host() -> bool {
    host_layout().unwrap().mode != LayoutMode::Unified
}

#[test]
fn a_thread_enters_every_hierarchy_and_the_limits_are_there() {
    if !v1_host() {
        return;
    }
    let group = Temporary::create(Resources {
        memory: Some(Memory {
            limit: Some(64 << 20),
            swap: Some(128 << 20),
            reservation: Some(32 << 20),
            swappiness: Some(10),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: Some(512),
            quota: Some(20_000),
            period: Some(50_000),
            cpus: "0".into(),
            mems: "0".into(),
            ..Cpu::default()
        }),
        pids: Some(Pids { limit: 100 }),
        devices: docker_default(),
        ..Resources::default()
    });
    let placement = group.0.placement().unwrap();
    assert!(placement.clone_into().is_none());
    let own = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                placement.enter_self().unwrap();
                std::fs::read_to_string("/proc/thread-self/cgroup").unwrap()
            })
            .join()
            .unwrap()
    });
    for line in own.lines().filter(|line| !line.starts_with("0::")) {
        assert!(line.contains(":/skiff-test-"), "{line}");
    }
    assert_eq!(group.read(Controller::Memory, "memory.limit_in_bytes"), (64 << 20).to_string());
    assert_eq!(
        group.read(Controller::Memory, "memory.memsw.limit_in_bytes"),
        (128 << 20).to_string()
    );
    assert_eq!(group.read(Controller::Memory, "memory.swappiness"), "10");
    assert_eq!(group.read(Controller::Cpu, "cpu.shares"), "512");
    assert_eq!(group.read(Controller::Cpu, "cpu.cfs_quota_us"), "20000");
    assert_eq!(group.read(Controller::Cpu, "cpu.cfs_period_us"), "50000");
    assert_eq!(group.read(Controller::Cpuset, "cpuset.cpus"), "0");
    assert_eq!(group.read(Controller::Pids, "pids.max"), "100");
    let devices = group.read(Controller::Devices, "devices.list");
    assert!(devices.contains("c 1:3 rwm") && !devices.contains("a *:*"), "{devices}");
}

#[test]
fn a_process_without_limits_can_enter_the_cpuset() {
    if !v1_host() {
        return;
    }
    let group = Temporary::create(Resources::default());
    assert!(!group.read(Controller::Cpuset, "cpuset.cpus").is_empty());
    let sleeper = Sleeper::start();
    group.0.add(sleeper.pid()).unwrap();
    assert_eq!(group.0.procs().unwrap(), [sleeper.number()]);
}

#[test]
fn limits_of_a_running_container_go_up_and_down() {
    if !v1_host() {
        return;
    }
    let group = Temporary::create(Resources::default());
    let memory = |limit: i64, swap: i64| Resources {
        memory: Some(Memory { limit: Some(limit), swap: Some(swap), ..Memory::default() }),
        ..Resources::default()
    };
    for mib in [8, 64, 16, 256, 8] {
        group.0.update(&memory(mib << 20, (mib * 2) << 20)).unwrap();
        let now = group.read(Controller::Memory, "memory.limit_in_bytes");
        assert_eq!(now, (mib << 20).to_string());
        let both = group.read(Controller::Memory, "memory.memsw.limit_in_bytes");
        assert_eq!(both, ((mib * 2) << 20).to_string());
    }
    group.0.update(&memory(-1, 0)).unwrap();
    assert_eq!(group.0.stats().unwrap().memory.limit, u64::MAX);
    assert_eq!(group.0.stats().unwrap().memory.swap_limit, u64::MAX);

    let cpu = |quota, period, burst| Resources {
        cpu: Some(Cpu { quota, period, burst, ..Cpu::default() }),
        ..Resources::default()
    };
    group.0.update(&cpu(Some(1_000_000), Some(1_000_000), Some(500_000))).unwrap();
    group.0.update(&cpu(Some(2000), Some(2000), Some(1000))).unwrap();
    assert_eq!(group.read(Controller::Cpu, "cpu.cfs_quota_us"), "2000");
    assert_eq!(group.read(Controller::Cpu, "cpu.cfs_burst_us"), "1000");
    let pids = Some(Pids { limit: -1 });
    group.0.update(&Resources { pids, ..Resources::default() }).unwrap();
    assert_eq!(group.0.stats().unwrap().pids.limit, u64::MAX);
}

#[test]
fn devices_of_a_running_container_change_without_a_gap() {
    if !v1_host() {
        return;
    }
    let devices = docker_default();
    let group = Temporary::create(Resources { devices: devices.clone(), ..Resources::default() });
    let mut more = devices;
    more.push(rule(true, "c 10:229 rw"));
    more.retain(|rule| rule.minor != Some(200));
    group.0.update(&Resources { devices: more, ..Resources::default() }).unwrap();
    let list = group.read(Controller::Devices, "devices.list");
    assert!(list.contains("c 10:229 rw") && !list.contains("10:200"), "{list}");
}

#[test]
fn freezing_stops_and_thawing_resumes() {
    if !v1_host() {
        return;
    }
    let group = Temporary::create(Resources::default());
    let sleeper = Sleeper::start();
    group.0.add(sleeper.pid()).unwrap();
    assert!(!group.0.is_frozen().unwrap());
    group.0.freeze().unwrap();
    assert!(group.0.is_frozen().unwrap());
    group.0.thaw().unwrap();
    assert!(!group.0.is_frozen().unwrap());
}

/// The thread that executes waits for the others, which may stand still already.
#[test]
fn programs_with_threads_that_execute_others_freeze() {
    if !v1_host() {
        return;
    }
    const AGAIN: &str = "import os, sys, threading, time\n\
        for _ in range(6): threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n\
        os.execv(sys.executable, [sys.executable, '-S', '-E', '-c', sys.argv[1], sys.argv[1]])";
    let group = Temporary::create(Resources::default());
    let python = Command::new("python3").args(["-S", "-E", "-c", AGAIN, AGAIN]).spawn().unwrap();
    let restless = Sleeper(python);
    group.0.add(restless.pid()).unwrap();
    for _ in 0..200 {
        group.0.freeze().unwrap();
        group.0.thaw().unwrap();
        // So that it is somewhere else each time.
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
}

#[test]
fn killing_reaches_nested_groups_and_frozen_processes() {
    if !v1_host() {
        return;
    }
    let group = Temporary::create(Resources::default());
    let nested = group.0.paths().v1_dir(Controller::Pids).unwrap().join("a/b");
    std::fs::create_dir_all(&nested).unwrap();
    let (mut outer, mut inner) = (Sleeper::start(), Sleeper::start());
    group.0.add(outer.pid()).unwrap();
    group.0.add(inner.pid()).unwrap();
    file::write(&nested, "cgroup.procs", &inner.number().to_string()).unwrap();
    assert_eq!(group.0.procs().unwrap(), [outer.number()]);
    let mut both = vec![outer.number(), inner.number()];
    both.sort_unstable();
    assert_eq!(group.0.all_procs().unwrap(), both);
    group.0.freeze().unwrap();
    let again = Cgroup::open(
        serde_json::from_str(&serde_json::to_string(group.0.paths()).unwrap()).unwrap(),
    );
    again.kill_all().unwrap();
    outer.0.wait().unwrap();
    inner.0.wait().unwrap();
    assert!(group.0.all_procs().unwrap().is_empty());
    again.remove().unwrap();
    assert!(!group.0.paths().v1_dir(Controller::Pids).unwrap().exists());
    again.remove().unwrap();
    assert!(again.all_procs().unwrap().is_empty());
    assert_eq!(again.stats().unwrap(), Stats::default());
}

#[test]
fn running_out_of_memory_is_counted_and_reported() {
    if !v1_host() {
        return;
    }
    let memory = Memory { limit: Some(8 << 20), swap: Some(9 << 20), ..Memory::default() };
    let group = Temporary::create(Resources { memory: Some(memory), ..Resources::default() });
    let events = group.0.oom_events().unwrap();
    assert_eq!(group.0.oom_kill_count(), 0);
    // Waits for a line, and then holds 64 MiB in memory.
    let mut hog = Command::new("sh")
        .args(["-c", "read go; exec dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    group.0.add(Pid::from_raw(i32::try_from(hog.id()).unwrap()).unwrap()).unwrap();
    std::io::Write::write_all(&mut hog.stdin.take().unwrap(), b"go\n").unwrap();
    assert!(!hog.wait().unwrap().success());
    let timeout = Timespec::try_from(Duration::from_secs(5)).unwrap();
    let mut fds = [PollFd::from_borrowed_fd(events.as_fd(), events.interest())];
    assert_eq!(rustix::event::poll(&mut fds, Some(&timeout)).unwrap(), 1);
    events.drain();
    assert_eq!(group.0.oom_kill_count(), 1);
    let stats = group.0.stats().unwrap();
    assert_eq!(stats.memory.oom_kill, 1);
    assert!(stats.memory.failcnt > 0 && stats.memory.max_usage > 4 << 20);
}

#[test]
fn what_was_made_goes_when_a_limit_is_refused() {
    if !v1_host() {
        return;
    }
    let path = format!("/skiff-test-{}", unique("refused"));
    let resources = Resources {
        cpu: Some(Cpu { cpus: "999".into(), ..Cpu::default() }),
        ..Resources::default()
    };
    let config = CgroupConfig { path: path.clone(), resources, ..CgroupConfig::default() };
    let error = Cgroup::create(&config).unwrap_err().to_string();
    assert!(error.contains("write \"999\" to") && error.contains("cpuset.cpus"), "{error}");
    for hierarchy in &host_layout().unwrap().hierarchies {
        assert!(!hierarchy.mount_point.join(&path[1..]).exists());
    }
}

#[test]
fn limits_of_an_earlier_container_are_not_inherited() {
    if !v1_host() {
        return;
    }
    let pids = Some(Pids { limit: 7 });
    let first = Temporary::create(Resources { pids, ..Resources::default() });
    let path = first.0.paths().v1_dir(Controller::Pids).unwrap();
    let root = &host_layout().unwrap().hierarchy(Controller::Pids).unwrap().mount_point;
    let path = format!("/{}", path.strip_prefix(root).unwrap().display());
    let config = CgroupConfig { path, ..CgroupConfig::default() };
    let second = Temporary(Cgroup::create(&config).unwrap());
    assert_eq!(second.read(Controller::Pids, "pids.max"), "max");
}

#[test]
fn a_limit_without_its_controller_is_an_error() {
    let layout = host_layout().unwrap();
    if !v1_host() || layout.hierarchy(Controller::Hugetlb).is_some() {
        return;
    }
    let resources = Resources {
        hugepage_limits: vec![HugepageLimit { page_size: "2MB".into(), limit: 0 }],
        ..Resources::default()
    };
    let path = format!("/skiff-test-{}", unique("missing"));
    let config = CgroupConfig { path, resources, ..CgroupConfig::default() };
    assert_eq!(
        Cgroup::create(&config).unwrap_err().to_string(),
        "cannot set hugetlb.2MB.limit_in_bytes: container could not join or create cgroup for hugetlb"
    );
}

/// The tests below share the root of the host's tree, whose delegation they change and restore.
static CGROUP2: Mutex<()> = Mutex::new(());

/// Holds the host's cgroup2 tree.
struct Cgroup2 {
    layout: Layout,
    delegated: String,
    _lock: MutexGuard<'static, ()>,
}

impl Drop for Cgroup2 {
    fn drop(&mut self) {
        let root = self.layout.unified.as_ref().unwrap();
        for name in ["hugetlb", "rdma"].iter().filter(|name| !self.delegated.contains(**name)) {
            let _ = file::write(root, "cgroup.subtree_control", &format!("-{name}"));
        }
    }
}

/// Pretends that the host is unified. On hybrid ones the cgroup2 tree has no controllers, but
/// freezing, killing, cloning into a group and device programs work as anywhere.
fn real_cgroup2() -> Option<Cgroup2> {
    let host = host_layout().unwrap();
    let root = host.unified.as_ref()?;
    let lock = CGROUP2.lock().unwrap_or_else(PoisonError::into_inner);
    let delegated = file::read(root, "cgroup.subtree_control").unwrap();
    let layout = Layout { mode: LayoutMode::Unified, hierarchies: Vec::new(), ..host.clone() };
    Some(Cgroup2 { layout, delegated, _lock: lock })
}

fn create_v2(layout: &Layout, resources: Resources) -> Temporary {
    let path = format!("/{}/group", unique("skiff-test"));
    let config = CgroupConfig { path, resources, ..CgroupConfig::default() };
    Temporary(Cgroup::create_in(layout, &config).unwrap())
}

#[test]
fn v2_freezes_thaws_kills_and_removes_on_the_kernel() {
    let Some(tree) = real_cgroup2() else { return };
    let group = create_v2(&tree.layout, Resources::default());
    let dir = group.0.paths().unified.clone().unwrap();
    let (mut outer, mut inner) = (Sleeper::start(), Sleeper::start());
    group.0.add(outer.pid()).unwrap();
    std::fs::create_dir_all(dir.join("a/b")).unwrap();
    file::write(&dir.join("a/b"), "cgroup.procs", &inner.number().to_string()).unwrap();
    let mut both = vec![outer.number(), inner.number()];
    both.sort_unstable();
    assert_eq!(group.0.all_procs().unwrap(), both);
    group.0.freeze().unwrap();
    assert!(group.0.is_frozen().unwrap());
    assert!(file::read(&dir, "cgroup.events").unwrap().contains("frozen 1"));
    group.0.thaw().unwrap();
    assert!(!group.0.is_frozen().unwrap());
    group.0.freeze().unwrap();
    group.0.kill_all().unwrap();
    outer.0.wait().unwrap();
    inner.0.wait().unwrap();
    group.0.remove().unwrap();
    assert!(!dir.exists());
    assert_eq!(group.0.stats().unwrap(), Stats { unified: true, ..Stats::default() });
}

#[test]
fn v2_device_programs_are_enforced_and_replaced() {
    let Some(tree) = real_cgroup2() else { return };
    let with = |rules: Vec<_>| Resources { devices: rules, ..Resources::default() };
    let group = create_v2(&tree.layout, with(docker_default()));
    // Waits for a line, then tells for each device whether it can be opened.
    let probe = |group: &Cgroup| {
        let script = "read go; for d in null zero kmsg; do \
                      (exec 3</dev/$d) 2>/dev/null && echo $d; done";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        group.add(Pid::from_raw(i32::try_from(shell.id()).unwrap()).unwrap()).unwrap();
        std::io::Write::write_all(&mut shell.stdin.take().unwrap(), b"go\n").unwrap();
        String::from_utf8(shell.wait_with_output().unwrap().stdout).unwrap()
    };
    assert_eq!(probe(&group.0), "null\nzero\n");
    group.0.update(&with(vec![rule(true, "c 1:11 r"), rule(true, "c 1:3 rw")])).unwrap();
    assert_eq!(probe(&group.0), "null\nkmsg\n");
    let dir = std::fs::File::open(group.0.paths().unified.as_ref().unwrap()).unwrap();
    assert_eq!(skiff_sys::bpf::query_device_programs(dir.as_fd()).unwrap().len(), 1);
    group.0.update(&with(vec![rule(true, "a")])).unwrap();
    assert_eq!(probe(&group.0), "null\nzero\nkmsg\n");
}

#[test]
fn v2_limits_reach_the_kernel_through_delegated_controllers() {
    let Some(tree) = real_cgroup2() else { return };
    let root = tree.layout.unified.clone().unwrap();
    let available = file::read(&root, "cgroup.controllers").unwrap();
    if !available.contains("hugetlb") || !Path::new("/sys/kernel/mm/hugepages").exists() {
        return;
    }
    let limit = HugepageLimit { page_size: "2MB".into(), limit: 4 << 20 };
    let resources = Resources { hugepage_limits: vec![limit], ..Resources::default() };
    let group = create_v2(&tree.layout, resources);
    let dir = group.0.paths().unified.clone().unwrap();
    assert_eq!(file::read_number(&dir, "hugetlb.2MB.max").unwrap(), Some(4 << 20));
    assert!(group.0.stats().unwrap().hugetlb.iter().any(|size| size.page_size == "2MB"));
}

/// The rest of v2 needs a host that has its controllers there, as in a virtual machine.
fn unified_host() -> Option<Cgroup2> {
    real_cgroup2().filter(|_| !v1_host())
}

impl Temporary {
    fn read_v2(&self, name: &str) -> String {
        let dir = self.0.paths().unified.as_ref().unwrap();
        file::read(dir, name).unwrap().trim().to_owned()
    }
}

#[test]
fn v2_limits_are_set_and_changed_on_a_unified_host() {
    let Some(tree) = unified_host() else { return };
    let memory = |limit: i64, swap: i64| {
        Some(Memory { limit: Some(limit), swap: Some(swap), ..Memory::default() })
    };
    let group = create_v2(
        &tree.layout,
        Resources {
            memory: memory(64 << 20, 128 << 20),
            cpu: Some(Cpu {
                shares: Some(512),
                quota: Some(20_000),
                period: Some(50_000),
                cpus: "0".into(),
                mems: "0".into(),
                ..Cpu::default()
            }),
            pids: Some(Pids { limit: 100 }),
            ..Resources::default()
        },
    );
    assert_eq!(group.read_v2("memory.max"), (64 << 20).to_string());
    assert_eq!(group.read_v2("memory.swap.max"), (64 << 20).to_string());
    assert_eq!(group.read_v2("cpu.max"), "20000 50000");
    assert_eq!(group.read_v2("cpu.weight"), "59");
    assert_eq!(group.read_v2("cpuset.cpus"), "0");
    assert_eq!(group.read_v2("pids.max"), "100");
    for mib in [8, 256, 16] {
        let memory = memory(mib << 20, mib << 20);
        group.0.update(&Resources { memory, ..Resources::default() }).unwrap();
        assert_eq!(group.read_v2("memory.max"), (mib << 20).to_string());
        assert_eq!(group.read_v2("memory.swap.max"), "0");
    }
    let memory = memory(-1, 0);
    let pids = Some(Pids { limit: -1 });
    let cpu = Some(Cpu { quota: Some(-1), ..Cpu::default() });
    group.0.update(&Resources { memory, pids, cpu, ..Resources::default() }).unwrap();
    let stats = group.0.stats().unwrap();
    assert_eq!((stats.memory.limit, stats.pids.limit), (u64::MAX, u64::MAX));
    assert_eq!(group.read_v2("memory.swap.max"), "max");
    assert_eq!(group.read_v2("cpu.max"), "max 100000");
}

#[test]
fn v2_running_out_of_memory_is_counted_and_reported() {
    let Some(tree) = unified_host() else { return };
    let memory = Memory { limit: Some(8 << 20), swap: Some(8 << 20), ..Memory::default() };
    let resources = Resources { memory: Some(memory), ..Resources::default() };
    let group = create_v2(&tree.layout, resources);
    let events = group.0.oom_events().unwrap();
    let poll = |seconds| {
        let timeout = Timespec::try_from(Duration::from_secs(seconds)).unwrap();
        let mut fds = [PollFd::from_borrowed_fd(events.as_fd(), events.interest())];
        rustix::event::poll(&mut fds, Some(&timeout)).unwrap()
    };
    assert_eq!(poll(0), 0);
    let mut hog = Command::new("sh")
        .args(["-c", "read go; exec dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    group.0.add(Pid::from_raw(i32::try_from(hog.id()).unwrap()).unwrap()).unwrap();
    std::io::Write::write_all(&mut hog.stdin.take().unwrap(), b"go\n").unwrap();
    assert!(!hog.wait().unwrap().success());
    assert_eq!(poll(5), 1);
    events.drain();
    assert_eq!(group.0.oom_kill_count(), 1);
    assert_eq!(group.0.stats().unwrap().memory.oom_kill, 1);
}

/// A directory of plain files that looks like cgroup2.
struct FakeTree {
    root: PathBuf,
    layout: Layout,
}

impl FakeTree {
    fn new(files: &[&str]) -> FakeTree {
        let root = std::env::temp_dir().join(unique("skiff-fake-cgroup"));
        std::fs::create_dir_all(root.join("docker/abc")).unwrap();
        for dir in ["", "docker", "docker/abc"] {
            let list = if dir == "docker/abc" { "" } else { "cpu io memory pids" };
            for name in ["cgroup.controllers", "cgroup.subtree_control", "cgroup.procs"] {
                std::fs::write(root.join(dir).join(name), "").unwrap();
            }
            std::fs::write(root.join(dir).join("cgroup.controllers"), list).unwrap();
        }
        for name in files {
            std::fs::write(root.join("docker/abc").join(name), "").unwrap();
        }
        let layout = Layout {
            mode: LayoutMode::Unified,
            hierarchies: Vec::new(),
            unified: Some(root.clone()),
            unified_own: Some(root.join("docker")),
        };
        FakeTree { root, layout }
    }

    fn create(&self, path: &str, resources: Resources) -> Result<Cgroup> {
        let config = CgroupConfig { path: path.into(), resources, ..CgroupConfig::default() };
        Cgroup::create_in(&self.layout, &config)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.join(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.root.join("docker/abc").join(name), text).unwrap();
    }
}

impl Drop for FakeTree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

#[test]
fn v2_controllers_are_delegated_from_the_root_down() {
    let tree = FakeTree::new(&["memory.max", "cpu.weight", "pids.max"]);
    let resources = Resources {
        memory: Some(Memory { limit: Some(4096), ..Memory::default() }),
        cpu: Some(Cpu { shares: Some(2), ..Cpu::default() }),
        pids: Some(Pids { limit: 5 }),
        ..Resources::default()
    };
    let group = tree.create("/docker/abc", resources.clone()).unwrap();
    assert_eq!(group.paths().unified.as_deref(), Some(tree.root.join("docker/abc").as_path()));
    for dir in ["", "docker/"] {
        let delegated = tree.read(&format!("{dir}cgroup.subtree_control"));
        assert_eq!(delegated, "+cpu +io +memory +pids");
    }
    assert_eq!(tree.read("docker/abc/cgroup.subtree_control"), "");
    assert_eq!(tree.read("docker/abc/memory.max"), "4096");
    assert_eq!(tree.read("docker/abc/cpu.weight"), "1");
    assert_eq!(tree.read("docker/abc/pids.max"), "5");
    assert!(group.placement().unwrap().clone_into().is_some());
    let relative = tree.create("abc", resources).unwrap();
    assert_eq!(relative.paths(), group.paths());
}

#[test]
fn v2_names_the_controller_that_is_missing() {
    let tree = FakeTree::new(&[]);
    let resources = Resources {
        memory: Some(Memory { limit: Some(4096), ..Memory::default() }),
        ..Resources::default()
    };
    assert_eq!(
        tree.create("/docker/abc", resources).unwrap_err().to_string(),
        "cannot set memory.max: container could not join or create cgroup for memory"
    );
}

#[test]
fn v2_without_swap_ignores_what_cannot_differ() {
    let tree = FakeTree::new(&["memory.max"]);
    let with_swap = |swap| Resources {
        memory: Some(Memory { limit: Some(4096), swap: Some(swap), ..Memory::default() }),
        ..Resources::default()
    };
    assert!(tree.create("/docker/abc", with_swap(4096)).is_ok());
    assert!(tree.create("/docker/abc", with_swap(-1)).is_ok());
    assert!(tree.create("/docker/abc", with_swap(8192)).is_err());
}

#[test]
fn v2_weights_go_to_the_scheduler_there_is() {
    let resources = Resources {
        block_io: Some(skiff_model::oci::BlockIo { weight: Some(500), ..Default::default() }),
        ..Resources::default()
    };
    let plain = FakeTree::new(&["io.weight"]);
    plain.create("/docker/abc", resources.clone()).unwrap();
    assert_eq!(plain.read("docker/abc/io.weight"), "4950");
    let bfq = FakeTree::new(&["io.weight", "io.bfq.weight"]);
    bfq.create("/docker/abc", resources).unwrap();
    assert_eq!(bfq.read("docker/abc/io.bfq.weight"), "500");
    assert_eq!(bfq.read("docker/abc/io.weight"), "");
}

#[test]
fn v2_unified_settings_are_file_names() {
    let tree = FakeTree::new(&["memory.high"]);
    let with = |name: &str| Resources {
        unified: [(name.to_owned(), "77".to_owned())].into(),
        ..Resources::default()
    };
    tree.create("/docker/abc", with("memory.high")).unwrap();
    assert_eq!(tree.read("docker/abc/memory.high"), "77");
    let error = tree.create("/docker/abc", with("../x")).unwrap_err().to_string();
    assert_eq!(error, "invalid unified resource \"../x\": must be a file name (no slashes)");
    let error = tree.create("/docker/abc", with("hugetlb.2MB.max")).unwrap_err().to_string();
    assert!(error.contains("controller \"hugetlb\" not available"), "{error}");
}

#[test]
fn v2_update_refuses_to_go_below_usage_when_asked() {
    let tree = FakeTree::new(&["memory.max", "memory.current", "memory.peak"]);
    tree.write("memory.current", "8192\n");
    tree.write("memory.peak", "9000\n");
    let group = tree.create("/docker/abc", Resources::default()).unwrap();
    let update = |check| {
        let memory =
            Memory { limit: Some(4096), check_before_update: Some(check), ..Memory::default() };
        group.update(&Resources { memory: Some(memory), ..Resources::default() })
    };
    assert_eq!(
        update(true).unwrap_err().to_string(),
        "unable to set memory limit to 4096 (current usage: 8192, peak usage: 9000)"
    );
    update(false).unwrap();
    assert_eq!(tree.read("docker/abc/memory.max"), "4096");
}

#[test]
fn v2_statistics_are_read_from_what_is_there() {
    let tree = FakeTree::new(&[]);
    tree.write("cpu.stat", "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_throttled 1\n");
    tree.write("memory.current", "100\n");
    tree.write("memory.max", "max\n");
    tree.write("memory.events", "low 0\nmax 4\noom 2\noom_kill 1\n");
    tree.write("memory.stat", "anon 5\nfile 6\n");
    tree.write("pids.current", "3\n");
    tree.write("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n");
    let group = tree.create("/docker/abc", Resources::default()).unwrap();
    tree.write("cgroup.procs", "10\n11\n");
    let stats = group.stats().unwrap();
    assert!(stats.unified);
    assert_eq!(stats.cpu.usage_ns, 5000);
    assert_eq!(stats.cpu.throttled_periods, 1);
    assert_eq!(stats.memory.limit, u64::MAX);
    assert_eq!(stats.memory.failcnt, 4);
    assert_eq!(stats.memory.stat.len(), 2);
    assert_eq!(stats.pids.current, 3);
    assert_eq!(stats.blkio.service_bytes[1].op, "write");
    assert_eq!(group.oom_kill_count(), 1);
    assert_eq!(group.procs().unwrap(), [10, 11]);
    assert!(!group.is_frozen().unwrap_or(false));
}

#[test]
fn a_group_with_processes_is_not_taken_over() {
    let tree = FakeTree::new(&[]);
    tree.create("/docker/abc", Resources::default()).unwrap();
    tree.write("cgroup.procs", "10\n11\n");
    let error = tree.create("/docker/abc", Resources::default()).unwrap_err().to_string();
    assert!(error.starts_with("container's cgroup is not empty: 2 process(es)"), "{error}");
    assert_eq!(tree.read("docker/abc/cgroup.procs"), "10\n11\n");
}

#[test]
fn v2_freezing_waits_for_the_kernels_word() {
    let tree = FakeTree::new(&["cgroup.freeze", "cgroup.kill"]);
    tree.write("cgroup.events", "populated 1\nfrozen 1\n");
    let group = tree.create("/docker/abc", Resources::default()).unwrap();
    group.freeze().unwrap();
    assert!(group.is_frozen().unwrap());
    group.thaw().unwrap();
    assert!(!group.is_frozen().unwrap());
    group.kill_all().unwrap();
    assert_eq!(tree.read("docker/abc/cgroup.kill"), "1");
}

/// Where the paths of one test end up, for a look at both halves of a hybrid host.
#[test]
fn a_hybrid_host_joins_no_cgroup2_group() {
    let layout = Layout::parse(
        "1 0 0:3 / /c/pids rw - cgroup cgroup rw,pids\n2 0 0:4 / /c/u rw - cgroup2 cgroup2 rw\n",
        "1:pids:/\n0::/\n",
    )
    .unwrap();
    let config = CgroupConfig { id: "x".into(), ..CgroupConfig::default() };
    let paths = paths::resolve(&layout, &config).unwrap();
    assert_eq!(paths.v1_dir(Controller::Pids), Some(Path::new("/c/pids/x")));
    assert!(paths.unified.is_none());
}
