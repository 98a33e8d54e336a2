"""The tests that `make test-fast` leaves out: each takes a second or more of a processor, for good reason.

They train and export networks, start servers and other processes, or draw many random cases. What a fast test
can say as well does not belong here; the engine is covered without them. A test may be marked `slow` in its
own file instead. ``tests/test_slow.py`` keeps the list in step with the files.
"""

from __future__ import annotations

from collections.abc import Mapping

SLOW: Mapping[str, tuple[str, ...]] = {
    "adaptation/test_adapt.py": (
        "test_a_random_network_can_be_taught_for_a_trial",
        "test_an_adapted_network_is_exported_like_any_other",
        "test_importing_it_loads_no_torch",
        "test_it_can_be_stopped_anywhere",
        "test_its_origin_is_told",
        "test_only_the_rows_of_the_turn_are_read",
        "test_teaching_changes_the_layers_a_little_and_can_be_repeated",
    ),
    "analysis/test_alignment.py": (
        "test_a_motion_that_fits_badly_counts_for_nothing",
        "test_the_sample_lies_as_it_was_made",
    ),
    "analysis/test_cost.py": ("test_what_is_said_of_the_other_methods_is_what_they_take",),
    "analysis/test_metrics.py": (
        "test_figures_of_images_are_those_of_scikit_learn",
        "test_image_intervals_are_those_of_drawing_the_scores",
        "test_intervals_are_those_of_drawing_the_pictures_themselves",
        "test_no_threshold_has_a_better_f1_and_the_level_named_reaches_it",
    ),
    "analysis/test_scored_dataset.py": ("test_other_settings_need_no_other_scoring",),
    "analysis/test_sensitivity.py": (
        "test_counts_are_those_of_the_trials",
        "test_every_trial_is_what_judging_the_painted_picture_gives",
        "test_the_same_seed_gives_the_same_probe_and_another_does_not",
    ),
    "analysis/test_significance.py": ("test_delong_rejects_as_often_as_it_says_where_nothing_differs",),
    "benchmarks/test_all_benchmarks.py": (
        "test_accuracy_passes_on_sound_data",
        "test_script_runs_from_anywhere",
        "test_speed_passes_with_room_and_fails_without",
    ),
    "benchmarks/test_app.py": ("test_a_real_start_takes_time",),
    "benchmarks/test_compare.py": (
        "test_the_same_configuration_makes_no_difference_and_a_missed_gain_is_told",
    ),
    "benchmarks/test_viewer.py": ("test_a_real_drag_takes_time",),
    "cli/test_adapt.py": ("test_all_the_way",),
    "cli/test_evaluate.py": (
        "test_a_zip_and_a_table_give_the_same_figures",
        "test_people_get_a_table",
        "test_the_new_figures_come_with_their_intervals",
    ),
    "cli/test_fit.py": (
        "test_a_signal_leaves_what_resume_goes_on_from",
        "test_random_weights_are_told",
    ),
    "cli/test_methods_command.py": ("test_kept_features_go_with_the_model",),
    "cli/test_probe_command.py": (
        "test_pictures_of_the_fit_are_told",
        "test_the_document_holds_the_engines_figures",
    ),
    "cli/test_resume_anywhere.py": ("test_the_command_that_goes_on_is_kept_and_works",),
    "cli/test_score.py": ("test_stopped_half_way_the_files_are_whole_and_say_so",),
    "cli/test_study.py": (
        "test_tables_have_a_row_a_category_and_their_mean",
        "test_without_defects_the_painted_ones_are_told",
    ),
    "decision/test_anomaly_map.py": (
        "test_regions_describe_the_mask",
        "test_rejected_exactly_when_the_mask_is_not_empty",
        "test_the_score_is_the_maximum_of_the_area_opening",
    ),
    "decision/test_operating_points.py": ("test_a_tied_range_holds_all_levels_that_do_the_same",),
    "decision/test_roi.py": (
        "test_a_brush_stroke_is_what_brute_force_says",
        "test_any_numbers_are_right_but_for_pixels_on_the_border",
    ),
    "methods/test_flow.py": ("test_training_finds_what_no_gaussian_has",),
    "methods/test_stfpm.py": (
        "test_a_fitted_model_scores_so_too",
        "test_a_stopped_training_goes_on_where_it_was",
    ),
    "methods/test_trained.py": ("test_a_stopped_fit_goes_on_and_ends_bit_for_bit_alike",),
    "methods/test_training.py": ("test_importing_the_methods_loads_no_torch",),
    "network/test_allocation.py": (
        "test_the_library_leaves_the_process_alone_and_the_command_line_does_not",
    ),
    "network/test_backbone.py": (
        "test_every_network_exported_equals_torch",
        "test_export_ends_at_the_deepest_layer",
        "test_export_equals_torch",
        "test_random_weights_are_the_same_every_time",
    ),
    "network/test_check.py": (
        "test_mutated_networks_run_or_are_refused_in_a_sentence",
        "test_no_operator_is_allowed_that_no_network_has",
    ),
    "network/test_concat.py": (
        "test_an_ensemble_on_two_backbones_is_the_mean_of_its_members",
        "test_every_part_sees_the_picture_as_it_would_alone",
        "test_the_joined_file_names_its_outputs_after_part_and_layer",
    ),
    "network/test_packaged.py": ("test_torch_exports_the_same_bytes",),
    "network/test_weights.py": (
        "test_a_file_gives_what_torchvisions_own_loading_gives",
        "test_batch_norms_folded_into_the_convolutions",
        "test_every_array_in_use_is_needed",
        "test_the_norm_behind_each_convolution_is_found_in_every_family",
        "test_weights_of_another_network",
        "test_what_lies_behind_the_deepest_layer_may_be_missing",
    ),
    "output/test_scorer_seal.py": (
        "test_no_flipped_bit_is_taken_for_the_model",
        "test_numbers_in_a_second_file_are_checked",
    ),
    "pages/test_calibrate.py": ("test_a_threshold_beyond_the_scale_is_none_and_the_page_helps_on",),
    "pages/test_checks.py": (
        "test_a_band_that_decides_little_is_said_to",
        "test_another_light_breaks_it_and_the_parts_join_the_fit",
        "test_good_parts_photographed_repeatedly_need_no_upload",
        "test_repeat_shots_follow_the_models_changes",
        "test_repeat_shots_make_a_guard_band_and_it_can_be_removed",
        "test_which_shots_show_one_part_is_the_users_word",
    ),
    "pages/test_compare.py": (
        "test_a_folder_of_categories_on_the_server_has_a_row_each",
        "test_a_run_that_fails_is_named",
        "test_an_earlier_one_can_be_looked_at_and_deleted",
        "test_files_are_the_engines",
        "test_one_of_them_becomes_a_model",
        "test_stopped_half_way_it_shows_what_is_done_and_goes_on",
        "test_the_same_pictures_again_go_on_with_their_study",
        "test_the_table_has_the_engines_figures_the_best_first",
        "test_without_defects_it_ranks_by_painted_ones",
    ),
    "pages/test_evaluate.py": ("test_every_cell_shows_its_pictures_errors_worst_first",),
    "pages/test_fit.py": (
        "test_a_calibration_out_of_date_is_said_on_every_page_until_it_is_mended",
        "test_a_missing_picture_is_named_and_nothing_changes",
        "test_a_zip_bomb_is_refused_by_name",
        "test_an_ensemble_on_two_networks",
        "test_another_method_is_chosen_fitted_and_named",
        "test_copies_and_confirmed_repeat_shots_count_as_one_part",
    ),
    "pages/test_inspect.py": ("test_a_changed_model_scores_its_pictures_again",),
    "pages/test_learning.py": (
        "test_defects_labelled_on_calibrate_are_counted",
        "test_painted_defects_are_said_to_be_an_indication",
        "test_the_curve_is_the_engines",
    ),
    "pages/test_measuring.py": ("test_a_changed_model_shows_nothing_of_the_former",),
    "pages/test_other_methods.py": (
        "test_every_page_opens",
        "test_taking_a_part_out_and_putting_it_back",
    ),
    "pages/test_other_networks.py": (
        "test_a_cache_cut_short_is_made_anew",
        "test_a_list_of_models_tells_those_with_random_weights",
        "test_other_models_are_not_marked",
        "test_random_weights_take_a_tick_and_mark_the_model_everywhere",
        "test_weights_that_are_brought_are_checked_kept_and_fitted_with",
        "test_weights_that_come_with_a_package_must_be_brought_first",
        "test_where_a_model_runs_is_shown",
    ),
    "pages/test_presets.py": (
        "test_a_model_is_fitted_by_the_preset",
        "test_a_preset_sets_the_settings_below_it",
    ),
    "pages/test_robustness.py": ("test_a_changed_threshold_makes_it_out_of_date_and_running_again_mends_it",),
    "pages/test_sensitivity.py": (
        "test_a_changed_threshold_makes_it_out_of_date_and_running_again_mends_it",
        "test_files_say_what_the_page_says",
        "test_of_labelled_pictures_only_good_ones_are_painted_on",
        "test_the_page_shows_what_the_engine_counts",
    ),
    "pages/test_which_layer.py": ("test_layers_are_turned_off_and_on_again",),
    "storage/test_bundle.py": (
        "test_a_bomb_in_place_of_an_array_is_refused_unread",
        "test_altered_zip_is_refused_or_the_same",
        "test_no_source_unpickles_or_evaluates",
    ),
    "storage/test_model_folders.py": (
        "test_the_lock_of_a_killed_process_is_free",
        "test_three_processes_change_delete_and_open",
    ),
    "storage/test_odd_manifests.py": ("test_any_manifest_leaves_the_others_listed",),
    "storage/test_stopped_fits.py": (
        "test_a_fit_of_a_living_process_is_neither_listed_nor_discarded",
        "test_a_killed_fit_goes_on_with_its_uploads_to_the_bit",
        "test_discarding_takes_the_uploads_along",
        "test_without_its_pictures_it_is_listed_and_cannot_go_on",
    ),
    "storage/test_working_files.py": ("test_damage_gives_the_same_model_or_a_named_error",),
    "study/test_study.py": (
        "test_a_study_goes_on_where_it_was_stopped",
        "test_other_pictures_or_settings_are_other_runs",
        "test_shared_features_give_the_scores_of_an_ordinary_fit",
        "test_without_defects_painted_ones_rank",
    ),
    "test_examples.py": (
        "test_docstrings",
        "test_python_blocks_of_the_documents",
    ),
    "test_import.py": (
        "test_a_saved_model_scores_without_torch_and_without_a_cache",
        "test_every_engine_module_loads_without_torch_and_streamlit",
    ),
    "test_model.py": ("test_parts_shot_twice",),
    "test_nothing_leaves.py": ("test_a_server_and_the_shell_send_nothing_and_look_nothing_up",),
    "test_sample_data.py": (
        "test_mask_covers_what_the_defect_changed",
        "test_same_seed_same_picture_other_seed_other_part",
        "test_script_makes_the_committed_picture",
    ),
    "ui/app/test_server.py": (
        "test_a_name_that_the_configuration_gives_is_answered",
        "test_tables_offer_no_csv_of_their_own",
    ),
    "ui/test_sensitivity.py": ("test_examples_show_the_trials_of_the_measurement",),
    "ui/widgets/test_networks.py": ("test_a_file_that_fits_is_kept_and_used",),
    "worker/test_process.py": (
        "test_a_fit_is_saved_and_its_process_gone",
        "test_an_error_arrives_with_its_type",
        "test_ctrl_c_in_the_terminal_is_not_for_it",
        "test_it_stops_when_asked",
    ),
}
"""Names of test functions by file, below ``tests/``."""
