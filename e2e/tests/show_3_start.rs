//! Nothing is live before the first whole configuration, and the probes say what is missing.

use syncgate_e2e::shows;

shows! {
    envoy_first_newest_delta: EnvoyFirst on Newest Delta;
    envoy_first_newest_sotw: EnvoyFirst on Newest Sotw;
    envoy_first_oldest_delta: EnvoyFirst on Oldest Delta;
    envoy_first_oldest_sotw: EnvoyFirst on Oldest Sotw;
    late_folder_newest_delta: LateFolder on Newest Delta;
    late_folder_oldest_sotw: LateFolder on Oldest Sotw;
}
