"""Tests mirror the rooms: `skbert/<room>/_file.py` is tested by `tests/<room>/test_file.py`.

So that whoever changes a file knows what to run. What is rightly tested together with something else stands in a
table, with the reason; behaviour that no single file answers for is tested in `tests/acceptance/`.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]

# File of the package: the tests that hold it.
ELSEWHERE = {
    # Plain checks of values: each is seen through the message that a user gets.
    "_shared/_checks": "acceptance/test_wrong_input",
    # Permutations as the statistics use them, where scipy's answers are at hand.
    "_shared/_resampling": "probing/test_statistics",
    # What seeds are for shows in whole fits only.
    "_shared/_seeds": "acceptance/test_determinism",
    # What an estimator says of its input, as scikit-learn reads it.
    "_shared/_tags": "acceptance/test_sklearn_checks",
    # The command is run as its user does, from arguments to files, whichever of its files does the work.
    "cli/__main__": "cli/test_demo",
    "cli/_commands": "cli/test_files",
    "cli/_estimators": "cli/test_files",
    "cli/_evaluation": "cli/test_files",
    "cli/_many_texts": "cli/test_files",
    # Reading and computing in windows shows in what a long job writes.
    "cli/_long_inputs": "cli/test_parts",
    "cli/_source": "cli/test_tables",
    "cli/_options": "cli/test_files",
    # Every format is written and read again, into every other; what it refuses is seen by the reader of a table.
    "cli/_cells": "cli/test_round_trip",
    "cli/_delimited": "cli/test_round_trip",
    "cli/_jsonl": "cli/test_round_trip",
    "cli/_parquet": "cli/test_round_trip",
    "cli/_terminal": "cli/test_tables",
    # Batches, devices and memory are tried out together, on one core and on several.
    "compute/_device": "training/test_net",
    "compute/_out_of_memory": "compute/test_threads",
    "compute/_run_batches": "compute/test_threads",
    "compute/_random_streams": "acceptance/test_determinism",
    # A tokenizer is loaded with its encoder, from the same folder.
    "encoder/_tokenizers": "encoder/test_loading",
    # All families run through the same tests, against the same of transformers.
    "encoder/families/_any": "encoder/test_layer_runner",
    "encoder/families/_deberta": "encoder/test_layer_runner",
    "encoder/families/_modernbert": "encoder/test_layer_runner",
    # A family of our own, with nothing of transformers to compare its pooling layers with.
    "encoder/families/_hybrid": "encoder/test_hybrid",
    "encoder/families/_hybrid_model": "encoder/test_hybrid",
    "encoder/families/_post_ln": "encoder/test_layer_runner",
    "encoder/families/_registry": "encoder/test_families",
    # What the estimators share is seen through each of them.
    "estimators/_base": "acceptance/test_sklearn_checks",
    "estimators/_fine_tuned": "estimators/test_classifier",
    "estimators/_labelled_texts": "acceptance/test_wrong_input",
    "estimators/_fitted_model": "acceptance/test_persistence",
    "estimators/_persistence": "acceptance/test_persistence",
    "estimators/_through_store": "store/test_feature_store",
    "estimators/_validation_split": "training/test_net",
    # A survey of a landscape is one machine: what it finds is compared with models that exist.
    "landscape/_groups": "landscape/test_landscape",
    "landscape/_loss_meter": "landscape/test_points",
    "landscape/_sentences": "landscape/test_report",
    "landscape/_survey": "landscape/test_landscape",
    "landscape/_trajectory": "landscape/test_landscape",
    # A head is the end of the module that it belongs to.
    "networks/_text_heads": "networks/test_pooled_encoder",
    # Reading from stored states must give what the encoder gives, so it is held against it.
    "pooling/_from_stored": "store/test_feature_store",
    # The frame of a page is seen around what it holds.
    "pages/_page": "stability/test_report",
    # Colours and frames have no behaviour of their own.
    "plots/_style": "plots/test_cv_scores",
    # What a masked language model is made of shows in its fits, its scores and its errors.
    "pretraining/_corpus": "pretraining/test_masking",
    "pretraining/_fitted": "pretraining/test_masked_language_model",
    "pretraining/_masked_texts": "pretraining/test_masking",
    "pretraining/_masked_tokens": "pretraining/test_masked_language_model",
    "pretraining/_reading": "pretraining/test_masked_language_model",
    "pretraining/_settings": "pretraining/test_masked_language_model",
    "pretraining/_start": "pretraining/test_masked_language_model",
    "pretraining/_verdict": "pretraining/test_train",
    "pretraining/_vocabulary": "pretraining/test_masking",
    # A probe is one machine: planted layers go in, damage by label comes out.
    "probing/_held_out": "probing/test_skip_layer_probe",
    "probing/_outputs": "probing/test_skip_layer_probe",
    "probing/_results": "probing/test_skip_layer_probe",
    "probing/_spans": "probing/test_skip_layer_probe",
    # Senses are learned by `fit`, and asked by the methods of the same class.
    "senses/_in_context": "senses/test_word2sense",
    "senses/_learning": "senses/test_word2sense",
    "senses/_word_vectors": "senses/test_word2sense",
    # A study is planned, checked and run by `fit`; what it says of its runs is tested with the comparisons.
    "stability/_checks": "stability/test_study",
    "stability/_design": "stability/test_study",
    "stability/_execution": "stability/test_study",
    "stability/_frames": "stability/test_run_store",
    "stability/_run": "stability/test_run_store",
    "stability/_results": "stability/test_comparison",
    # What a comparison is made of, and what it takes from the table of runs.
    "stability/_differences": "stability/test_comparison",
    "stability/_paired_tests": "stability/test_comparison",
    "stability/_pairing": "stability/test_comparison",
    # Bounds of a score are what intervals are cut to.
    "stability/_score_scale": "stability/test_intervals",
    "stability/_variance_results": "stability/test_variance",
    "stability/_variance_table": "stability/test_variance",
    # Either kind of store passes every test of the store.
    "store/_in_folder": "store/test_feature_store",
    "store/_in_memory": "store/test_feature_store",
    "store/_keys": "store/test_feature_store",
    # The parts of a training run are held against one plain loop of torch and transformers.
    "training/_callbacks": "training/test_net",
    "training/_dataset": "training/test_net",
    "training/_fine_tune": "training/test_net",
    "training/_objectives": "training/test_net",
    "training/_occurring_rows": "training/test_pretrained",
    "training/_settings": "training/test_net",
    "training/_stepper": "training/test_net",
    "training/_verdict": "training/test_net",
    # A phase is what its batches, its parts and its head do together.
    "training/_logistic_head": "training/test_contrast",
    # What is computed from vectors of all texts is tested, by scikit-learn on vectors of transformers.
    "training/_vectors": "training/test_center",
}

# Tests of a room that belong to no single file of it.
OF_A_ROOM = {
    # One command from its arguments to its page.
    "cli/test_landscape",
    # Tables as others write them, and through every pair of formats.
    "cli/test_round_trip",
    "cli/test_tables",
    # A command of its own, whose results are folders for the other ones.
    "cli/test_pretrain",
    # Which family runs what: the inner room as a whole.
    "encoder/test_families",
    "encoder/test_hybrid",
    # Many texts, through all that lies between a list and an array.
    "estimators/test_long_inputs",
    # One constructor parameter, or one way to leave the process, through all estimators.
    "estimators/test_layer_path",
    "estimators/test_reinit",
    "estimators/test_saved_folders",
    # A study on a cluster, which needs a cluster.
    "stability/test_study_on_dask",
    # One parameter of a study, from its scorers to its store and its tables.
    "stability/test_train_scoring",
    # Two processes, and a store between the making of its file and of its tables.
    "stability/test_store_in_the_making",
}


def files_of_rooms(package):
    """Every file of a room, as ``room/_file``, the doors left out."""
    files = (path.relative_to(package).with_suffix("") for path in package.rglob("_*.py") if path.stem != "__init__")
    return {path.as_posix() for path in files if len(path.parts) > 1}


def expected_test(file):
    """``room/test_file`` for ``room/_file``."""
    room, _, name = file.rpartition("/")
    return f"{room}/test{name}"


def without_tests(files, tests, elsewhere):
    """Files that have neither tests of their own nor a place in the table."""
    return {file for file in files if expected_test(file) not in tests and elsewhere.get(file) not in tests}


def all_tests(folder, rooms):
    return {
        path.relative_to(folder).with_suffix("").as_posix()
        for room in rooms
        for path in (folder / room).rglob("test_*.py")
    }


FILES = files_of_rooms(ROOT / "skbert")
ROOMS = {file.split("/")[0] for file in FILES}
TESTS = all_tests(ROOT / "tests", ROOMS | {"acceptance"})


def test_every_file_of_a_room__has_its_tests():
    assert without_tests(FILES, TESTS, ELSEWHERE) == set()


def test_every_test_of_a_room__has_its_file():
    of_files = {expected_test(file) for file in FILES}
    assert {test for test in TESTS if not test.startswith("acceptance/")} - of_files - OF_A_ROOM == set()


def test_table__names_what_is_there_and_what_is_needed():
    assert set(ELSEWHERE) <= FILES
    assert set(ELSEWHERE.values()) | OF_A_ROOM <= TESTS
    assert not {file for file in ELSEWHERE if expected_test(file) in TESTS}


def test_file_without_tests__is_found():
    files, tests = {"text/_tokens", "text/_texts", "plots/_style", "plots/_new"}, {"text/test_tokens", "plots/test_cv"}
    table = {"plots/_style": "plots/test_cv", "plots/_new": "plots/test_gone"}
    assert without_tests(files, tests, table) == {"text/_texts", "plots/_new"}
