//! The page in a real browser.

use portguard_testbed::{Bed, CLIENT_V4, Daemon};
use serde_json::{Value, json};

use crate::stderr;

use super::browser::Browser;
use super::{ADDRESS, FIRST_RULE, RULES, policy, send, shown};

/// A port that a drop-in blocks.
const DROPPED_IN: u16 = 9005;

/// What must not run, wherever it stands.
const HOSTILE: &str = "  # <script>window.ran = 1</script> <img src=x onerror='window.ran = 2'>
  - name: hostile
    action: drop
    ports: [9004/udp]
    comment: \"<script>window.ran = 3</script><img src=x onerror='window.ran = 4'><svg onload='window.ran = 5'>\"
";

/// What of a text that is taken for markup would be there.
const MADE: &str =
    "document.querySelectorAll('img, script, svg[onload], [onerror], [onload], [style]').length";

/// Tables, columns, rows and sections that do not say what they are.
const NAMELESS: &str = "Array.from(document.querySelectorAll('table')).filter(table => !table.caption?.textContent
            || table.querySelector('thead th:not([scope=col])') || table.querySelector('tbody tr > th:first-child:not([scope=row], [scope=rowgroup])')
            || table.querySelector('thead td')).length + document.querySelectorAll('section:not([aria-labelledby])').length";

/// The texts of the cells of a row, by what its first cell begins with.
fn row(browser: &mut Browser, body: &str, name: &str) -> Vec<String> {
    let found = browser.evaluate(&format!(
        "Array.from(document.querySelectorAll('#{body} tr'), row => Array.from(row.children, cell => cell.innerText.trim()))
            .find(cells => cells[0].startsWith('{name}')) ?? null"
    ));
    let cells = found
        .as_array()
        .unwrap_or_else(|| panic!("no row `{name}` in {body}"));
    cells
        .iter()
        .map(|cell| cell.as_str().expect("text").replace('\n', " "))
        .collect()
}

/// How much wider what is shown is than the window.
fn overflow(browser: &mut Browser) -> Value {
    browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
}

/// A drop-in is shown below its name, and the policy below its own, until the drop-in is gone again.
fn drop_ins_are_shown(bed: &Bed, daemon: &Daemon, browser: &mut Browser) {
    let hostile_name = "<img src=x onerror='window.ran = 7'>.yaml";
    let drop_in = format!(
        "version: 1\nrules:\n  # <script>window.ran = 8</script>\n  - {{name: dropped-in, action: drop, ports: [{DROPPED_IN}/udp]}}\n"
    );
    let folder = daemon.folder().join("policy.d");
    std::fs::create_dir(&folder).expect("makes");
    std::fs::write(folder.join(hostile_name), drop_in).expect("writes");
    let reloaded = daemon.reload().expect("runs");
    assert!(reloaded.status.success(), "{}", stderr(&reloaded));
    browser.wait_for("document.querySelectorAll('#policy tbody').length", 2);
    send(bed, &[(DROPPED_IN, 2)]);
    let hit = "Array.from(document.querySelectorAll('#policy tbody')[1].querySelectorAll('tr'), row => row.innerText.trim().split(/\\s*\\t\\s*/))";
    browser.wait_for(
        hit,
        json!([
            [format!("policy.d/{hostile_name}")],
            ["1", "version: 1"],
            ["2", "rules:"],
            ["3", "# <script>window.ran = 8</script>"],
            [
                "4",
                "2",
                format!("- {{name: dropped-in, action: drop, ports: [{DROPPED_IN}/udp]}}")
            ],
        ]),
    );
    let first = "document.querySelector('#policy tbody th.file').textContent";
    let name = browser.evaluate(first);
    assert_eq!(name, json!(daemon.policy_path()));
    assert_eq!(browser.evaluate("window.ran ?? null"), Value::Null);
    assert_eq!(browser.evaluate(MADE), 1, "the script of the page alone");
    assert_eq!(browser.evaluate(NAMELESS), 0);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(overflow(browser), 0);
    std::fs::remove_dir_all(&folder).expect("removes");
    assert!(daemon.reload().expect("runs").status.success());
    browser.wait_for("document.querySelectorAll('#policy tbody').length", 1);
}

#[test]
fn the_page_shows_in_a_browser_what_was_counted() {
    let (bed, daemon) = shown(&format!("{RULES}{HOSTILE}"));
    let mut browser = Browser::start(&bed);
    browser.resize(1280, 900);
    browser.open(&format!("http://{ADDRESS}/"));
    browser.wait_for("document.getElementById('generation')?.textContent", "1");
    send(&bed, &[(9000, 7), (9002, 6), (9003, 3), (9004, 1)]);
    let packets =
        "document.querySelector('#rules tr[data-key=hostile]').lastChild.firstChild.textContent";
    browser.wait_for(packets, "1");
    assert_eq!(row(&mut browser, "rules", "closed")[3], "7");
    assert_eq!(row(&mut browser, "rules", "closed")[0], "closed drop");
    assert_eq!(row(&mut browser, "rules", "few")[3], "2 +4 over limit");
    assert_eq!(row(&mut browser, "rules", "later")[3], "0 3 not enforced");
    assert_eq!(row(&mut browser, "ports", "9000/udp")[3], "7");
    assert_eq!(row(&mut browser, "ports", "9002/udp")[3], "4");
    browser.wait_for(
        "document.querySelector('#sources td.number')?.textContent",
        "12",
    );
    let source = row(&mut browser, "sources", "192.0.2.2");
    assert_eq!(source[0], CLIENT_V4.to_string());
    let text = |browser: &mut Browser, id: &str| {
        let text = browser.evaluate(&format!("document.getElementById('{id}').innerText"));
        text.as_str().expect("text").to_owned()
    };
    assert_eq!(text(&mut browser, "state"), "● Live");
    assert_eq!(text(&mut browser, "interfaces"), "srv0 native");
    assert!(text(&mut browser, "policy-path").ends_with("policy.yaml"));
    assert_eq!(text(&mut browser, "rule-count"), "4, enforced");
    // A graph that goes up to what was dropped.
    assert!(text(&mut browser, "plot-max").ends_with(" packets/s"));
    browser.wait_for("document.querySelectorAll('#plot path').length", 3);
    let spark = "document.querySelectorAll('#rules tr[data-key=closed] path').length";
    assert_eq!(browser.evaluate(spark), 1);

    // The policy, line by line, with what each has counted.
    let line = |browser: &mut Browser, number: usize| {
        browser.evaluate(&format!(
            "Array.from(document.querySelectorAll('#policy tbody tr')[{}].children, cell => cell.textContent)",
            number - 1
        ))
    };
    let first = line(&mut browser, FIRST_RULE);
    assert_eq!(first, json!(["6", "7", "  - name: closed"]));
    let comment = HOSTILE.lines().next().expect("a line");
    assert_eq!(line(&mut browser, 11), json!(["11", "", comment]));
    let comment = HOSTILE.lines().nth(4).expect("a line");
    assert_eq!(line(&mut browser, 15), json!(["15", "", comment]));

    // What is hostile is a text: nothing of it became part of the page, and nothing ran.
    assert_eq!(browser.evaluate("window.ran ?? null"), Value::Null);
    assert_eq!(browser.evaluate(MADE), 1, "the script of the page alone");
    assert_eq!(browser.complaints(), Vec::<String>::new());

    // For readers of screens: every table says what it is, and every row and column.
    assert_eq!(browser.evaluate(NAMELESS), 0);

    // As wide as a phone, and narrower; both ways of looking; with nothing that moves by itself.
    assert_eq!(overflow(&mut browser), 0);
    let ground = "getComputedStyle(document.body).backgroundColor";
    browser.prefer(&[("prefers-color-scheme", "light")]);
    let light = browser.evaluate(ground);
    browser.prefer(&[
        ("prefers-color-scheme", "dark"),
        ("prefers-reduced-motion", "reduce"),
    ]);
    assert_ne!(browser.evaluate(ground), light);
    assert_eq!(browser.evaluate("document.getAnimations().length"), 0);
    for width in [360, 320] {
        browser.resize(width, 640);
        assert_eq!(overflow(&mut browser), 0, "{width}");
    }

    drop_ins_are_shown(&bed, &daemon, &mut browser);

    // A pause, during which a trial is told all the same.
    browser.evaluate("document.getElementById('pause').click()");
    send(&bed, &[(9000, 1)]);
    let next = daemon.folder().join("next.yaml");
    let other = policy(
        ADDRESS,
        "true",
        &format!("{RULES}  - {{name: new, action: drop, ports: 1}}\n"),
    );
    std::fs::write(&next, other).expect("writes");
    let next = next.to_str().expect("UTF-8");
    let applied = daemon
        .client(&["apply", next, "--confirm", "300s"])
        .expect("runs");
    assert!(applied.status.success(), "{}", stderr(&applied));
    browser.wait_for("document.getElementById('trial').hidden", false);
    assert!(text(&mut browser, "trial").starts_with("ON TRIAL: "));
    assert_eq!(text(&mut browser, "generation"), "4");
    assert_eq!(text(&mut browser, "state"), "❚❚ Paused");
    assert_eq!(row(&mut browser, "rules", "closed")[3], "7");
    assert_eq!(overflow(&mut browser), 0);
    browser.evaluate("document.getElementById('pause').click()");
    let packets =
        "document.querySelector('#rules tr[data-key=closed]').lastChild.firstChild.textContent";
    browser.wait_for(packets, "8");
    browser.wait_for(
        "document.querySelector('#policy tr.hit')?.firstChild.textContent",
        "6",
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());

    // What would run is stopped, and complained of: the browser does look.
    browser.evaluate(
        "(() => { const made = document.createElement('script'); made.textContent = 'window.ran = 6'; document.body.append(made); })()",
    );
    assert_eq!(browser.evaluate("window.ran ?? null"), Value::Null);
    let complaints = browser.complaints();
    assert!(
        complaints
            .iter()
            .any(|one| one.contains("Content Security Policy")),
        "{complaints:?}"
    );

    // A daemon that ends is missed.
    daemon.stop().expect("stops");
    browser.wait_for(
        "document.getElementById('state').textContent",
        "▲ No connection, trying again",
    );
}
