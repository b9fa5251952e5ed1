//! Changes, crashes and restarts under at least 500 requests a second: none fails, none is answered by a wrong backend.

use syncgate_e2e::shows;

shows! {
    a_edit_a_route_newest_delta: EditRoute on Newest Delta;
    a_edit_a_route_newest_sotw: EditRoute on Newest Sotw;
    a_edit_a_route_oldest_delta: EditRoute on Oldest Delta;
    a_edit_a_route_oldest_sotw: EditRoute on Oldest Sotw;
    b_new_service_and_its_route_newest_delta: NewService on Newest Delta;
    b_new_service_and_its_route_newest_sotw: NewService on Newest Sotw;
    b_new_service_and_its_route_oldest_delta: NewService on Oldest Delta;
    b_new_service_and_its_route_oldest_sotw: NewService on Oldest Sotw;
    c_crash_and_change_newest_delta: Crash on Newest Delta;
    c_crash_and_change_newest_sotw: Crash on Newest Sotw;
    c_crash_and_change_oldest_delta: Crash on Oldest Delta;
    c_crash_and_change_oldest_sotw: Crash on Oldest Sotw;
    d_rollout_newest_delta: Rollout on Newest Delta;
    d_rollout_newest_sotw: Rollout on Newest Sotw;
    d_rollout_oldest_delta: Rollout on Oldest Delta;
    d_rollout_oldest_sotw: Rollout on Oldest Sotw;
    e_move_rules_newest_delta: MoveRules on Newest Delta;
    e_move_rules_newest_sotw: MoveRules on Newest Sotw;
    e_move_rules_oldest_delta: MoveRules on Oldest Delta;
    e_move_rules_oldest_sotw: MoveRules on Oldest Sotw;
    e_replace_a_route_newest_delta: ReplaceRoute on Newest Delta;
    e_replace_a_route_newest_sotw: ReplaceRoute on Newest Sotw;
    e_replace_a_route_oldest_delta: ReplaceRoute on Oldest Delta;
    e_replace_a_route_oldest_sotw: ReplaceRoute on Oldest Sotw;
}
