//! Whole logs on disk: generations, tails, following across rotations.

use std::fs::{self, OpenOptions};
use std::future::{pending, ready};
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::oneshot;

use super::*;
use crate::testing::TempDir;

fn line(number: u32) -> String {
    format!(
        "{{\"log\":\"line {number}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:{:02}Z\"}}\n",
        number % 60
    )
}

fn lines(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().map(line).collect()
}

fn shown(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().map(|number| format!("line {number}\n")).collect()
}

fn generation(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn pack(path: &Path, text: &str) {
    let mut encoder = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap();
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Renames as the monitor does: the older ones first.
fn rotate(path: &Path) {
    let _ = fs::rename(generation(path, ".1"), generation(path, ".2"));
    fs::rename(path, generation(path, ".1")).unwrap();
}

fn all() -> LogOptions {
    LogOptions { stdout: true, stderr: true, ..LogOptions::default() }
}

async fn read_all(path: &Path, options: LogOptions) -> String {
    let source = LogSource { path: path.to_owned(), ended: Box::pin(ready(())) };
    let mut chunks = read(source, &options, &Watcher::default()).unwrap();
    let mut text = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        text.extend(chunk);
    }
    String::from_utf8(text).unwrap()
}

/// Generations .2.gz (0..10), .1 (10..20) and the current one (20..30), which ends torn.
fn three_generations(directory: &Path) -> PathBuf {
    let path = directory.join("x-json.log");
    pack(&generation(&path, ".2.gz"), &lines(0..10));
    append(&generation(&path, ".1"), &lines(10..20));
    append(&path, &(lines(20..30) + "{\"log\":\"to"));
    path
}

#[tokio::test]
async fn generations_are_read_from_the_oldest() {
    let directory = TempDir::new();
    let path = three_generations(directory.path());
    assert_eq!(read_all(&path, all()).await, shown(0..30));
}

#[tokio::test]
async fn tails_reach_into_older_generations() {
    let directory = TempDir::new();
    let path = three_generations(directory.path());
    for count in [0, 1, 9, 10, 11, 19, 20, 21, 29, 30, 31, 1000] {
        let options = LogOptions { tail: Some(count), ..all() };
        let start = 30 - u32::try_from(count.min(30)).unwrap();
        // The torn line counts as the writer has not ended it yet: what it says is not known.
        assert_eq!(read_all(&path, options).await, shown(start..30), "tail {count}");
    }
}

#[tokio::test]
async fn long_logs_come_in_chunks_and_lose_nothing() {
    let directory = TempDir::new();
    let path = directory.path().join("x-json.log");
    append(&path, &lines(0..20_000));
    assert_eq!(read_all(&path, all()).await, shown(0..20_000));
    let options = LogOptions { tail: Some(7000), ..all() };
    assert_eq!(read_all(&path, options).await, shown(13_000..20_000));
}

#[tokio::test]
async fn lines_that_are_too_long_are_passed_over() {
    let directory = TempDir::new();
    let path = directory.path().join("x-json.log");
    append(&path, &format!("{}{}\n{}", line(1), "x".repeat(3 << 20), line(2)));
    assert_eq!(read_all(&path, all()).await, shown(1..3));
}

#[tokio::test]
async fn a_log_that_does_not_exist_is_empty() {
    let directory = TempDir::new();
    let path = directory.path().join("x-json.log");
    assert_eq!(read_all(&path, all()).await, "");
    assert_eq!(read_all(&path, LogOptions { tail: Some(3), follow: true, ..all() }).await, "");
}

#[tokio::test]
async fn no_stream_is_an_error() {
    let source = LogSource { path: "/nonexistent/log".into(), ended: Box::pin(pending()) };
    let error = read(source, &LogOptions::default(), &Watcher::default()).unwrap_err();
    assert_eq!(error.to_string(), "must specify at least one of 'stdout' or 'stderr'");
}

/// Receives until this much text has come.
async fn receive(chunks: &mut LogChunks, length: usize) -> String {
    let mut text = Vec::new();
    while text.len() < length {
        text.extend(chunks.recv().await.expect("more text"));
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn followers_cross_rotations_and_end_with_the_container() {
    let directory = TempDir::new();
    let path = directory.path().join("x-json.log");
    append(&path, &lines(0..3));
    let (end, ended) = oneshot::channel::<()>();
    let source = LogSource { path: path.clone(), ended: Box::pin(async { drop(ended.await) }) };
    let options = LogOptions { follow: true, tail: Some(2), ..all() };
    let watcher = Watcher::default();
    let mut chunks = read(source, &options, &watcher).unwrap();
    assert_eq!(receive(&mut chunks, shown(1..3).len()).await, shown(1..3));

    append(&path, &line(3));
    assert_eq!(receive(&mut chunks, 7).await, shown(3..4));

    // Two rotations at once, with lines on both sides of each.
    append(&path, &line(4));
    rotate(&path);
    append(&path, &line(5));
    rotate(&path);
    append(&path, &line(6));
    assert_eq!(receive(&mut chunks, 3 * 7).await, shown(4..7));

    // A line that arrives in halves.
    let (first, second) = (line(7), line(8));
    append(&path, &first[..20]);
    append(&path, &(first[20..].to_owned() + &second));
    assert_eq!(receive(&mut chunks, 2 * 7).await, shown(7..9));

    append(&path, &line(9));
    end.send(()).unwrap();
    assert_eq!(receive(&mut chunks, 7).await, shown(9..10));
    assert_eq!(chunks.recv().await, None);
}

#[tokio::test]
async fn followers_see_a_truncated_file_from_its_start() {
    let directory = TempDir::new();
    let path = directory.path().join("x-json.log");
    append(&path, &lines(0..5));
    let source = LogSource { path: path.clone(), ended: Box::pin(pending()) };
    let options = LogOptions { follow: true, ..all() };
    let mut chunks = read(source, &options, &Watcher::default()).unwrap();
    assert_eq!(receive(&mut chunks, shown(0..5).len()).await, shown(0..5));
    fs::write(&path, line(6)).unwrap();
    assert_eq!(receive(&mut chunks, 7).await, shown(6..7));
}

#[tokio::test]
async fn followers_end_at_until() {
    let directory = TempDir::new();
    let path = directory.path().join("x-json.log");
    append(&path, &lines(0..5));
    let until = Timestamp::from_rfc3339("2026-01-01T00:00:02Z");
    let options = LogOptions { follow: true, until, ..all() };
    let source = LogSource { path: path.clone(), ended: Box::pin(pending()) };
    let mut chunks = read(source, &options, &Watcher::default()).unwrap();
    assert_eq!(receive(&mut chunks, shown(0..3).len()).await, shown(0..3));
    assert_eq!(chunks.recv().await, None);
}

#[tokio::test]
async fn the_last_follower_takes_the_watch_with_it() {
    let directory = TempDir::new();
    let watcher = Watcher::default();
    let first = watcher.watch(directory.path());
    let second = watcher.watch(directory.path());
    assert!(matches!(first, watch::Watch::Notified { .. }));
    drop(first);
    assert_eq!(watcher.watched(), 1);
    drop(second);
    assert_eq!(watcher.watched(), 0);
}
