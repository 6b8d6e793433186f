//! `portguard top` in a terminal: what is seen, what keys do, and that the terminal is given back.

mod senders;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portguard::output::top::Screen;
use portguard_testbed::raw::{Ends, RawSocket, hardware_address, udp_frame};
use portguard_testbed::{Bed, CLIENT_V4, Daemon, SERVER_V4};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{binary, guarded, policy, stderr, stdout};

const RULES: &str = "  - {name: blocked, action: drop, ports: [23/udp]}
  - {name: quiet, action: pass, ports: [9001/udp]}
";

/// How long a screen may take to show something.
const PATIENCE: Duration = Duration::from_secs(20);

/// A terminal of 80 columns and 24 lines with a shell in it.
pub(crate) struct Terminal {
    folder: TempDir,
}

impl Terminal {
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let terminal = Self { folder };
        terminal.tmux(&[
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            "env PS1=ready: sh",
        ]);
        terminal.wait_for("ready:");
        terminal
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command
            .args(["-u", "-f", "/dev/null", "-S"])
            .arg(self.path("tmux.sock"))
            .args(words)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        command
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("tmux runs");
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// Presses keys, by tmux's names of them.
    pub(crate) fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Has the shell run a line.
    pub(crate) fn run(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press(&["Enter"]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    /// Waits until the screen is as wanted.
    fn wait_until(&self, what: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "no {what}:\n{screen}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_for_file(&self, name: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Written whole when its line has ended.
            let text = fs::read_to_string(self.path(name)).unwrap_or_default();
            if text.ends_with('\n') {
                return text;
            }
            assert!(Instant::now() < deadline, "no `{name}`:\n{}", self.screen());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs `portguard top` as a line of the shell, between two looks at the settings of the terminal, and then writes its
    /// exit code.
    fn start_top(&self, daemon: &Daemon) {
        let socket = daemon.folder().join("control.sock");
        self.run_between(&format!(
            "{} top --socket {}",
            binary().display(),
            socket.display()
        ));
    }

    fn run_between(&self, line: &str) {
        let folder = self.folder.path().display();
        fs::write(
            self.path("run.sh"),
            format!(
                "cd {folder}; stty -a > before; echo shell-was-here\n\
                 sh -c 'echo $$ > pid; exec {line}'\n\
                 echo $? > code; stty -a > after; echo ended > end\n"
            ),
        )
        .expect("a script");
        self.run(&format!(". {folder}/run.sh"));
    }

    fn pid(&self) -> Pid {
        let text = self.wait_for_file("pid");
        let number = text.trim().parse().expect("a number");
        Pid::from_raw(number).expect("a process")
    }

    /// Waits until the program has ended, and looks at the terminal; returns the exit code.
    fn given_back(&self) -> String {
        self.wait_for_file("end");
        let read = |name| fs::read_to_string(self.path(name)).expect("a file");
        // But for its size, which may have changed meanwhile: it stands on the first line, and the speed, which none has.
        let settings = |name| {
            let text: String = read(name);
            text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(settings("before"), settings("after"), "{}", self.screen());
        let flags = self.tmux(&["display-message", "-p", "#{cursor_flag} #{alternate_on}"]);
        assert_eq!(flags.trim(), "1 0", "cursor shown, screen of the shell");
        // What the shell showed before is there again, and it listens.
        self.wait_for("shell-was-here");
        self.run("echo still $((40 + 2))");
        self.wait_for("still 42");
        read("code").trim().to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended with its shell; then there is nothing to end.
        let _ended = self.command(&["kill-server"]).output();
    }
}

/// Sends packets to port 23 while something else is done.
fn under_traffic<T>(bed: &Bed, run: impl FnOnce() -> T) -> T {
    let ends = Ends {
        from_mac: hardware_address(&bed.client, "cli0").expect("address"),
        to_mac: hardware_address(&bed.server, "srv0").expect("address"),
        from: CLIENT_V4.into(),
        to: SERVER_V4.into(),
    };
    /// Ends the traffic, also when what is done fails.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let socket = RawSocket::open(&bed.client, "cli0").expect("a sender");
    let frame = udp_frame(ends, &[], 23, b"top").expect("a frame");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                socket.send(&frame).expect("sends");
                thread::sleep(Duration::from_millis(5));
            }
        });
        let _stop = Stop(&stop);
        run()
    })
}

/// The words of the line that has this one.
fn line_with<'s>(screen: &'s str, word: &str) -> Vec<&'s str> {
    let mut lines = screen.lines().map(|line| line.split_whitespace().collect());
    lines
        .find(|words: &Vec<&str>| words.contains(&word))
        .unwrap_or_default()
}

#[test]
fn rates_of_rules_and_ports_are_seen_under_traffic_and_keys_work() {
    let (bed, daemon) = guarded(RULES);
    let terminal = Terminal::open();
    terminal.start_top(&daemon);
    let screen = terminal.wait_for("[Rules 2]");
    assert!(
        screen.contains("generation 1, 2 rules, enforced"),
        "{screen}"
    );
    assert!(screen.contains("srv0 native"), "{screen}");
    under_traffic(&bed, || {
        // A rate, and a graph between it and the total.
        let screen = terminal.wait_until("rate of `blocked`", |screen| {
            let words = line_with(screen, "blocked");
            words.len() >= 6 && words[3].parse().is_ok_and(|rate: f64| rate > 1.0)
        });
        let words = line_with(&screen, "blocked");
        assert_eq!(words[..3], [">", "blocked", "drop"], "{screen}");
        let graph = words[4..words.len() - 1].concat();
        assert!(graph.contains('█'), "{screen}");
        assert_eq!(
            line_with(&screen, "quiet")[..3],
            ["quiet", "pass", "0"],
            "{screen}"
        );

        terminal.press(&["Tab", "Tab"]);
        let screen = terminal.wait_for("[Blocked ports 1]");
        assert_eq!(line_with(&screen, "23/udp")[0], ">", "{screen}");
        terminal.press(&["Enter"]);
        let screen = terminal.wait_for("Blocked port 23/udp");
        assert!(screen.contains("packets/s in the last"), "{screen}");
        terminal.press(&["Escape"]);
        terminal.wait_for("[Blocked ports 1]");

        terminal.press(&["p"]);
        terminal.wait_for("PAUSED");
        // The head goes on, the rows do not.
        let row = line_with(&terminal.screen(), "23/udp").join(" ");
        thread::sleep(Duration::from_millis(2500));
        assert_eq!(line_with(&terminal.screen(), "23/udp").join(" "), row);
        terminal.press(&["p"]);
        terminal.wait_until("other numbers", |screen| {
            line_with(screen, "23/udp").join(" ") != row
        });
    });
    terminal.press(&["Tab", "Tab"]);
    terminal.wait_for("[Rules 2]");
    terminal.press(&["/", "q", "u"]);
    terminal.wait_for("filter: qu");
    let screen = terminal.wait_until("one row", |screen| line_with(screen, "blocked").is_empty());
    assert_eq!(line_with(&screen, "quiet")[0], ">", "{screen}");
    terminal.press(&["Escape"]);
    terminal.wait_until("both rows", |screen| {
        !line_with(screen, "blocked").is_empty()
    });
    terminal.press(&["?"]);
    terminal.wait_for("this help");
    terminal.press(&["q"]);
    assert_eq!(terminal.given_back(), "0");
}

#[test]
fn signals_and_ctrl_c_give_the_terminal_back() {
    let (_bed, daemon) = guarded(RULES);
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let terminal = Terminal::open();
        terminal.start_top(&daemon);
        terminal.wait_for("[Rules 2]");
        kill_process(terminal.pid(), signal).expect("kills");
        assert_eq!(terminal.given_back(), "0", "{signal:?}");
    }
    let terminal = Terminal::open();
    terminal.start_top(&daemon);
    terminal.wait_for("[Rules 2]");
    terminal.press(&["C-c"]);
    assert_eq!(terminal.given_back(), "0");
}

/// Set for the copy of this program that panics in a terminal.
const PANIC: &str = "PORTGUARD_TEST_PANIC_ON_SCREEN";

#[test]
fn a_panic_gives_the_terminal_back() {
    if std::env::var_os(PANIC).is_some() {
        portguard::exit::abort_on_panic();
        let _screen = Screen::open().expect("a terminal");
        panic!("on purpose");
    }
    let terminal = Terminal::open();
    let program = std::env::current_exe().expect("a path");
    let name = "top::a_panic_gives_the_terminal_back";
    terminal.run_between(&format!(
        "env RUST_BACKTRACE=0 {PANIC}=1 {} --exact {name} --nocapture",
        program.display()
    ));
    // What a shell says of SIGABRT: nobody unwound. And the message is on the screen of the shell.
    assert_eq!(terminal.given_back(), "134");
    assert!(
        terminal.screen().contains("on purpose"),
        "{}",
        terminal.screen()
    );
}

#[test]
fn a_daemon_that_ends_is_missed_and_one_that_comes_is_found() {
    let (bed, mut daemon) = guarded(RULES);
    let terminal = Terminal::open();
    terminal.start_top(&daemon);
    terminal.wait_for("[Rules 2]");
    daemon.kill().expect("kills");
    let screen = terminal.wait_for("NO DAEMON, trying again each second");
    assert!(!line_with(&screen, "blocked").is_empty(), "{screen}");
    daemon.start_again(&bed.server).expect("starts");
    terminal.wait_until("daemon", |screen| !screen.contains("NO DAEMON"));
    terminal.press(&["q"]);
    assert_eq!(terminal.given_back(), "0");
}

#[test]
fn a_trial_counts_down() {
    let (_bed, daemon) = guarded(RULES);
    let terminal = Terminal::open();
    terminal.start_top(&daemon);
    terminal.wait_for("generation 1");
    let file = terminal.path("new.yaml");
    fs::write(
        &file,
        policy("  - {name: other, action: drop, ports: [24/udp]}\n"),
    )
    .expect("a file");
    let file = file.to_str().expect("a path");
    let applied = daemon
        .client(&["apply", file, "--confirm", "300s"])
        .expect("runs");
    assert!(applied.status.success(), "{}", stderr(&applied));
    let seconds = |screen: &str| -> Option<u64> {
        let rest = screen.split_once("ON TRIAL for ")?.1;
        rest.split_once(' ')?.0.parse().ok()
    };
    let screen = terminal.wait_for("ON TRIAL for ");
    let first = seconds(&screen).expect("seconds");
    assert!((200..=300).contains(&first), "{screen}");
    terminal.wait_until("fewer seconds", |screen| {
        seconds(screen).is_some_and(|left| left < first)
    });
    let confirmed = daemon.client(&["confirm"]).expect("runs");
    assert!(confirmed.status.success(), "{}", stderr(&confirmed));
    terminal.wait_until("trial's end", |screen| !screen.contains("ON TRIAL"));
    terminal.press(&["q"]);
    assert_eq!(terminal.given_back(), "0");
}

#[test]
fn another_size_is_drawn_at_once() {
    let (_bed, daemon) = guarded(RULES);
    let terminal = Terminal::open();
    terminal.start_top(&daemon);
    terminal.wait_for("SAMPLES");
    terminal.tmux(&["resize-window", "-x", "40", "-y", "10"]);
    let screen = terminal.wait_until("narrow screen", |screen| {
        screen.contains("[Rules 2]") && !screen.contains("SAMPLES")
    });
    assert!(
        screen.lines().all(|line| line.chars().count() <= 40),
        "{screen}"
    );
    assert_eq!(
        line_with(&screen, "blocked")[..3],
        [">", "blocked", "drop"],
        "{screen}"
    );
    terminal.press(&["q"]);
    assert_eq!(terminal.given_back(), "0");
}

#[test]
fn without_a_terminal_or_a_daemon_it_says_what_to_do() {
    let (_bed, daemon) = guarded(RULES);
    let output = daemon.client(&["top"]).expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
    let text = stderr(&output);
    assert!(
        text.contains("standard output is no terminal")
            && text.contains("`portguard counters --follow`"),
        "{text}"
    );
    let terminal = Terminal::open();
    let missing = Path::new("/nonexistent/control.sock").display();
    terminal.run_between(&format!("{} top --socket {missing}", binary().display()));
    assert_eq!(terminal.given_back(), "3");
    let screen = terminal.screen();
    assert!(screen.contains("cannot reach the daemon"), "{screen}");
}
