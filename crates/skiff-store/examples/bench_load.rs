//! Loads an archive into a fresh store and tells how long it took: `bench_load ROOT ARCHIVE`.

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, root, archive] = &arguments[..] else { panic!("usage: bench_load ROOT ARCHIVE") };
    let store = skiff_store::Store::open(Path::new(root), skiff_store::Pins::default)
        .expect("open the store");
    let mut file = std::fs::File::open(archive).expect("open the archive");
    let start = std::time::Instant::now();
    let loaded = store.load(&mut file, None, &|_| {}).expect("load");
    println!("{:.3} s", start.elapsed().as_secs_f64());
    for image in loaded {
        println!("{} {:?}", image.id, image.names.iter().map(|n| n.familiar()).collect::<Vec<_>>());
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("read status");
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    store.wait_for_trash();
}
