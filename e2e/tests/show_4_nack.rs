//! A response with good, changed and bad listeners is refused; once reverted, Envoy runs exactly what the folder stands for.

use syncgate_e2e::shows;

shows! {
    nack_and_revert_newest_delta: Nack on Newest Delta;
    nack_and_revert_newest_sotw: Nack on Newest Sotw;
    nack_and_revert_oldest_delta: Nack on Oldest Delta;
    nack_and_revert_oldest_sotw: Nack on Oldest Sotw;
}
