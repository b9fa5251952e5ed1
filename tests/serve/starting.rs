//! What keeps the program from starting is said before anything starts, with the remedy.

use std::net::TcpListener;

use crate::{manifests::folder, process::run};

#[test]
fn an_address_in_use_is_named_by_its_flag_with_the_remedy() {
    let dir = folder(&[]);
    let other_process = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = other_process.local_addr().expect("bound").to_string();
    let flags = ["--xds-address", "--health-address", "--admin-address"];
    for flag in flags {
        let mut arguments = vec!["serve", "--files", dir.path().to_str().expect("UTF-8")];
        for other in flags {
            arguments.extend([other, if other == flag { &taken } else { "127.0.0.1:0" }]);
        }
        let output = run(&arguments);
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{said}");
        let expected = format!("{flag}: listening on {taken}: ");
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("end the process that listens there, or give another port"), "{said}");
    }
}
