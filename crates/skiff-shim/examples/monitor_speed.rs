//! What starting, exec, output and idling cost: `cargo build --release -p skiff-shim` and then
//! `cargo run --release -p skiff-shim --example monitor_speed`, from where `target` is.

#![allow(dead_code, clippy::unwrap_used, reason = "shares the tests' harness")]

#[path = "../tests/it/harness.rs"]
mod harness;

use std::io::Read;
use std::time::Instant;

use harness::{Container, Engine, client, exec_request, wishes};
use skiff_shim::protocol::{Answer, Event, LogTarget};

fn main() {
    let engine = Engine::start();
    starts(&engine);
    execs(&engine);
    flood(&engine);
    stream(&engine);
    idle(&engine);
}

fn say(text: &str) {
    println!("{text}");
}

fn report(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize] * 1e6;
    say(&format!("{what}: best {:.0}, median {:.0}, p95 {:.0} us", at(0.0), at(0.5), at(0.95)));
}

fn request_true(engine: &Engine) -> skiff_shim::protocol::LaunchRequest {
    let mut request = engine.request("");
    request.launch.spec.process.as_mut().unwrap().args = vec!["/bin/true".to_owned()];
    request
}

fn starts(engine: &Engine) {
    let (mut started, mut exited, mut released) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..200 {
        let request = request_true(engine);
        let begun = Instant::now();
        let mut container = engine.launch(request, &[]);
        started.push(begun.elapsed().as_secs_f64());
        container.wait();
        exited.push(begun.elapsed().as_secs_f64());
        while !matches!(container.event(), Some(Event::Released)) {}
        released.push(begun.elapsed().as_secs_f64());
        container.last_words();
    }
    report("connect to Started", started);
    report("connect to Exited", exited);
    report("connect to Released", released);
}

fn execs(engine: &Engine) {
    let mut container = engine.run("exec sleep 1000");
    let (mut started, mut exited) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        let (own, given) = client();
        let mut request = exec_request("e", "");
        request.launch.process.args = vec!["/bin/true".to_owned()];
        request.attach = Some(wishes(1));
        let begun = Instant::now();
        assert!(matches!(container.exec(request, Some(&given)), Answer::Started { .. }));
        started.push(begun.elapsed().as_secs_f64());
        while !matches!(container.event(), Some(Event::ExecExited { .. })) {}
        exited.push(begun.elapsed().as_secs_f64());
        drop(own);
    }
    container.finish();
    report("exec to Started", started);
    report("exec to ExecExited", exited);
}

/// A container that writes lines of 100 bytes as fast as it can.
fn flood(engine: &Engine) {
    let text = engine.root.join("rootfs/tmp/text");
    std::fs::write(&text, format!("{}\n", "x".repeat(99)).repeat(2_560_000)).unwrap();
    let begun = Instant::now();
    let mut container = engine.run("cat /tmp/text");
    container.wait();
    say(&format!("log: {:.0} MB/s", 256.0 / begun.elapsed().as_secs_f64()));
    container.last_words();
    std::fs::remove_file(text).unwrap();
}

/// The same to an attached client, without a log.
fn stream(engine: &Engine) {
    for multiplexed in [false, true] {
        let mut request =
            engine.request("busybox dd if=/dev/zero bs=1000000 count=2000 2>/dev/null");
        request.log = LogTarget::None;
        request.attach = vec![skiff_shim::protocol::AttachRequest { multiplexed, ..wishes(1) }];
        let (mut own, given) = client();
        let begun = Instant::now();
        let mut container = engine.launch(request, &[&given]);
        drop(given);
        let mut buffer = vec![0; 1 << 18];
        let monitor = parent_of(container.pid);
        let (mut got, mut used) = (0, 0.0);
        loop {
            let count = own.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            if (got + count) / 100_000_000 > got / 100_000_000 {
                used = processor_ms(monitor).unwrap_or(used);
            }
            got += count;
        }
        let speed = 2000.0 / begun.elapsed().as_secs_f64();
        say(&format!(
            "attached, multiplexed {multiplexed}: {speed:.0} MB/s, {:.0} ms of monitor for a GB",
            used / 2.0
        ));
        drop(own);
        container.wait();
        container.last_words();
    }
}

fn idle(engine: &Engine) {
    let containers: Vec<Container> = (0..100).map(|_| engine.run("exec sleep 1000")).collect();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let sums = containers.iter().map(|container| {
        let parent = parent_of(container.pid);
        let rollup = std::fs::read_to_string(format!("/proc/{parent}/smaps_rollup")).unwrap();
        ["Rss:", "Pss:", "Private_Dirty:", "Private_Clean:"].map(|name| value(&rollup, name))
    });
    let sums = sums.fold([0; 4], |sums, one| [0, 1, 2, 3].map(|at| sums[at] + one[at]));
    let [rss, pss, dirty, clean] = sums.map(|sum| sum / 100);
    say(&format!(
        "idle monitor: {pss} kB PSS, {dirty} private dirty, {clean} private clean, {rss} RSS"
    ));
    containers.into_iter().for_each(Container::finish);
}

fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn parent_of(pid: i32) -> u64 {
    value(&std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap(), "PPid:")
}

/// Time a process has used a processor.
fn processor_ms(pid: u64) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    Some(text.split_whitespace().next()?.parse::<f64>().ok()? / 1e6)
}
