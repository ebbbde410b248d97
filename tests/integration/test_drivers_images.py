"""Images with the storage drivers that are not the default: the tests of other files in which a driver's
own way to unpack, pack, share and drop layers has a part, with vfs and on btrfs (a loop device).

What they say of overlay's own directories, of figures and of progress is left to those files."""
import os

import test_commit
import test_hostile_archives
import test_load
import test_registry
import test_registry_storm
import test_save
import test_store
from harness import wait_for
from test_drivers import daemon, warm

HOSTILE = {
    test_hostile_archives: (
        "names_that_lead_outside", "absolute_names_are_below_the_layer", "writing_through_symlinks",
        "hard_links_to_what_is_outside", "devices_cannot_be_opened", "set_id_bits_stay_below_a_closed_directory",
        "sizes_that_lie", "sparse_files", "wrong_diff_id", "streams_that_end_too_early", "the_last_of_equal_names_stays",
        "names_with_control_characters", "types_that_nobody_knows"),
}
IN_AND_OUT = {
    test_load: ("any_order", "one_file_in_several_images", "links_to_layers", "what_nobody_asks_for"),
    test_commit: ("commit_and_run", "nothing_written", "ids_of_a_user_namespace", "again_and_again", "parents"),
    test_save: ("both_formats_in_one", "what_is_saved_loads_again"),
    test_store: ("load_keeps_layers_as_they_came", "import_keeps_its_layer", "pull_uses_blobs_that_are_here"),
}
PULLS = {
    test_registry: ("kinds_of_images", "pulls_at_once_share_their_layers", "a_layer_is_unpacked_while_it_comes",
                    "what_was_unpacked_of_wrong_bytes_is_undone", "a_layer_that_cannot_be_unpacked",
                    "a_layer_that_was_lost_comes_again"),
}
STORM = {test_registry_storm: ("all_at_once",)}


def clean(d):
    d.clean()
    for image in d.request("GET", "/images/json?all=1").json:
        if "busybox:latest" not in (image["RepoTags"] or []):
            d.request("DELETE", f"/images/{image['Id']}?force=1")
    # What overlay drops with a few files is a whole tree here, and still being deleted.
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "the trash to be empty")


def run_cases(cases, driver, kind):
    with daemon(driver, kind) as d:
        warm(d)
        for module, names in cases.items():
            for name in names:
                try:
                    clean(d)
                    getattr(module, f"test_{name}")(d)
                except BaseException as error:
                    error.add_note(f"in {module.__name__}.{name} with {driver}")
                    raise


def test_hostile_archives_with_vfs():
    run_cases(HOSTILE, "vfs", None)


def test_hostile_archives_on_btrfs():
    run_cases(HOSTILE, "btrfs", "btrfs")


def test_in_and_out_with_vfs():
    run_cases(IN_AND_OUT, "vfs", None)


def test_in_and_out_on_btrfs():
    run_cases(IN_AND_OUT, "btrfs", "btrfs")


def test_pulls_with_vfs():
    run_cases(PULLS, "vfs", None)


def test_pulls_on_btrfs():
    run_cases(PULLS, "btrfs", "btrfs")


def test_all_at_once_with_vfs():
    run_cases(STORM, "vfs", None)


def test_all_at_once_on_btrfs():
    run_cases(STORM, "btrfs", "btrfs")
