//! Clients have to prove who they are; the authorities that they are measured by change without a lost connection.

use syncgate_e2e::shows;

shows! {
    clients_newest_delta: Clients on Newest Delta;
    clients_oldest_sotw: Clients on Oldest Sotw;
}
