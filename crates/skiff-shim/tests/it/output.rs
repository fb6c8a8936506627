//! Output of containers in the log.

use skiff_shim::protocol::{Answer, LogTarget, Op};

use crate::harness::{Engine, client, eventually, read_all, wishes};

#[test]
fn output_of_both_streams_is_in_the_log_when_the_end_is_told() {
    let engine = Engine::start();
    let mut container = engine.run("echo one; echo bad >&2; printf 'two\\nrest'");
    assert_eq!(container.wait().exit_code, 0);
    assert_eq!(container.log_of("stdout"), "one\ntwo\nrest");
    assert_eq!(container.log_of("stderr"), "bad\n");
}

#[test]
fn a_flood_is_in_the_log_to_the_last_line() {
    let engine = Engine::start();
    let mut container = engine.run("seq 1 200000");
    assert_eq!(container.wait().exit_code, 0);
    let expect: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(container.log_of("stdout") == expect);
}

#[test]
fn lines_over_the_limit_are_split() {
    let engine = Engine::start();
    let mut container = engine.run("head -c 40000 /dev/zero | tr '\\0' x; echo");
    container.wait();
    let text = std::fs::read_to_string(container.run_dir.join("log")).unwrap();
    let lens: Vec<usize> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|entry| entry["log"].as_str().unwrap().len())
        .collect();
    assert_eq!(lens, [16384, 16384, 40000 - 2 * 16384 + 1]);
}

#[test]
fn a_full_log_is_rotated_and_compressed() {
    let engine = Engine::start();
    let mut request = engine.request("seq 1 20000; exec sleep 1000");
    if let LogTarget::JsonFile { max_size, max_file, compress, .. } = &mut request.log {
        (*max_size, *max_file, *compress) = (600_000, 5, true);
    }
    let container = engine.launch(request, &[]);
    let name = |suffix: &str| container.run_dir.join(format!("log{suffix}"));
    eventually("a compressed file", || name(".1.gz").exists() || name(".2.gz").exists());
    eventually("the last line", || container.log_of("stdout").ends_with("20000\n"));
    eventually("no file that is being made", || !name(".gz.tmp").exists());
    container.finish();
}

#[test]
fn a_log_that_cannot_be_opened_fails_the_start() {
    let engine = Engine::start();
    let mut request = engine.request("true");
    if let LogTarget::JsonFile { path, .. } = &mut request.log {
        *path = "/dev/null".into();
    }
    let run_dir = request.run_dir.clone();
    let (mut container, answer) = engine.try_launch(request, &[]);
    let Answer::Failed(error) = answer else { panic!("{answer:?}") };
    assert!(error.message.starts_with("failed to initialize logging driver"), "{error}");
    assert!(container.last_words().is_empty());
    assert!(!run_dir.join("monitor.sock").exists());
}

#[test]
fn a_disk_that_is_full_does_not_stop_the_container() {
    let engine = Engine::start();
    let disk = Disk::mount(engine.root.join("disk"));
    let mut request = engine.request("seq 1 300000; echo done; exec sleep 1000");
    if let LogTarget::JsonFile { path, .. } = &mut request.log {
        *path = disk.0.join("log");
    }
    request.attach = vec![wishes(1)];
    let (own, given) = client();
    let mut container = engine.launch(request, &[&given]);
    drop(given);
    crate::harness::read_until(&own, "done\n");
    // Space is back, and what comes next says what was lost.
    let text = std::fs::read_to_string(disk.0.join("log")).unwrap();
    assert!(text.ends_with("\"}\n"), "a torn line at the end");
    std::fs::File::options().write(true).open(disk.0.join("log")).unwrap().set_len(0).unwrap();
    assert!(matches!(container.call(Op::ReopenLog, &[]), Answer::Done));
    container.exec(crate::harness::exec_request("more", "echo more > /proc/1/fd/1"), None);
    eventually("the note", || {
        let text = std::fs::read_to_string(disk.0.join("log")).unwrap();
        text.contains("log entries were lost: No space left on device") && text.contains("more")
    });
    drop(own);
    container.finish();
}

/// A small tmpfs.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(path: std::path::PathBuf) -> Disk {
        std::fs::create_dir_all(&path).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", &path, "tmpfs", flags, c"size=1m").unwrap();
        Disk(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_container_without_a_log_runs_at_its_own_speed() {
    let engine = Engine::start();
    let mut request = engine.request("head -c 50000000 /dev/zero");
    request.log = LogTarget::None;
    request.attach = vec![wishes(1)];
    let (own, given) = client();
    let mut container = engine.launch(request, &[&given]);
    drop(given);
    assert_eq!(read_all(&own).len(), 50_000_000);
    assert_eq!(container.wait().exit_code, 0);
}
