"""Who sees what: every question, by every kind of viewer, over a ledger full of other people's data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.domain.access import FILE_OWNER, Viewer
from slurm_gpucost.domain.errors import GpucostError, NotAllowed, UsageError
from slurm_gpucost.services.named import QUERIES, Answer, Asked, Query, answer, registry
from slurm_gpucost.services.named.model import FLAG, OWN
from slurm_gpucost.services.named.scope import Scope
from slurm_gpucost.settings import Settings
from tests.unit.crowd import END, MONTH, NOW, START, crowd

STRANGER = Viewer("stranger")
MIA = Viewer("mia")
HEAD = Viewer("mia", accounts=frozenset({("c", "mine")}))
"""Coordinates the account mine."""
TWIN = Viewer("mia", accounts=frozenset({("other", "zqlab")}))
"""Coordinates an account of that name on another cluster."""
SHARED = Viewer("mia", shared_accounts=frozenset({("c", "mine")}))
FINANCE = Viewer("fin", everyone=True)
COSTS = Viewer("eva", costs=True)
ALL_TIME = {"start": START, "end": END}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return crowd(tmp_path_factory.mktemp("crowd"))


def ask(site: Settings, viewer: Viewer, name: str, **params: Any) -> Answer:
    with answer(site, site.ledger, name, params, viewer, NOW) as found:
        return Answer(found.head, json.loads(json.dumps(list(found.rows))))


def words(said: Any) -> str:
    return json.dumps(said)


def variations(query: Query) -> Iterator[dict[str, Any]]:
    """Ways to ask a question: each flag, each parameter that names somebody."""
    usual: dict[str, Any] = {}
    for param in query.params:
        usual |= {"month": {"month": MONTH}, "start": {"start": START}, "end": {"end": END}}.get(param.name, {})
    yield usual
    flags = {param.name: True for param in query.params if param.kind == FLAG}
    if flags:
        yield {**usual, **flags}
    names = {"users": ["zqada"], "user": "zqada", "accounts": ["zqlab"], "account": "zqlab", "job_ids": ["1", "3"],
             "partitions": ["zqpart"], "clusters": ["c", "zqc"], "states": ["CD", "R"]}  # fmt: skip
    for param in query.params:
        if param.name in names:
            yield {**usual, **flags, param.name: names[param.name]}
            yield {**usual, param.name: names[param.name]}


@pytest.mark.parametrize("viewer", [STRANGER, Viewer(""), MIA, TWIN], ids=["stranger", "nobody", "mia", "twin"])
@pytest.mark.parametrize("name", sorted(QUERIES))
def test_nothing_of_others_in_any_answer(site: Settings, name: str, viewer: Viewer) -> None:
    asked = 0
    for params in variations(QUERIES[name]):
        try:
            head, rows = ask(site, viewer, name, **params)
        except NotAllowed as error:
            named = {str(value) for value in (params.get("account"), *(params.get("accounts") or ())) if value}
            said = str(error)
            for one in named:
                said = said.replace(one, "")
            assert "zq" not in said
            continue
        asked += 1
        assert "zq" not in words([head, rows]), params
    assert asked or QUERIES[name].rights != OWN


def test_the_search_finds_what_is_there(site: Settings) -> None:
    for name in QUERIES:
        if name not in ("cluster_utilization", "rates_explain", "rates_simulate", "energy", "audit"):
            params = {"month": MONTH} if name in ("invoices", "showback") else {}
            params |= ALL_TIME if name in ("jobs", "account_utilization_by_user") else {}
            assert "zq" in words(ask(site, FILE_OWNER, name, **params).rows), name


def test_a_question_that_forgets_its_viewer_is_not_answered(site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(asked: Asked, scope: Scope) -> Answer:
        return Answer({}, asked.queries.ask("owners"))

    def of_another(asked: Asked, scope: Scope) -> Answer:
        return Answer({}, Scope(FILE_OWNER, asked.queries).persons(asked.queries.ask("owners"), dict))

    for run in (forgets, of_another):
        made = {"careless": Query("careless", "", (), OWN, run)}
        monkeypatch.setattr(registry, "QUERIES", made)
        for viewer in (MIA, FILE_OWNER):
            with pytest.raises(RuntimeError, match="past what its viewer may see"):
                ask(site, viewer, "careless")


def ids(site: Settings, viewer: Viewer, **params: Any) -> list[str]:
    return [row["job_id"] for row in ask(site, viewer, "jobs", **ALL_TIME, **params).rows]


def test_whose_jobs(site: Settings) -> None:
    assert ids(site, MIA) == ids(site, MIA, all_users=True) == ids(site, HEAD) == ["4", "5"]
    assert ids(site, HEAD, all_users=True) == ["3", "4", "5"]
    assert ids(site, HEAD, users=["zqbert"]) == ["3"], "his jobs in zqlab are none of hers"
    assert ids(site, HEAD, users=["mia", "zqbert"], job_ids=["3", "4"]) == ["3", "4"]
    assert ids(site, HEAD, users=["zqada"]) == ids(site, HEAD, users=["nobodyknows"]) == []
    assert ids(site, SHARED, all_users=True) == ["4", "5"], "shared spend opens no jobs"
    assert ids(site, FINANCE, all_users=True) == ["1", "2", "3", "4", "5", "6", "7", "99"]
    assert ids(site, FINANCE) == [], "without a name, one's own"
    assert ids(site, FILE_OWNER, users=["zqada"], states=["R"]) == ["1", "6", "7"]


def test_all_users_of_who_may_not_see_them_is_told_to_be_less(site: Settings) -> None:
    assert "your own jobs" in ask(site, MIA, "jobs", all_users=True, **ALL_TIME).head["notes"][0]
    assert "accounts that you coordinate" in ask(site, HEAD, "jobs", all_users=True, **ALL_TIME).head["notes"][0]
    assert ask(site, MIA, "jobs", **ALL_TIME).head["notes"] == []
    assert ask(site, FINANCE, "jobs", all_users=True, **ALL_TIME).head["notes"] == []


def test_a_coordinator_sees_spend_and_not_the_work(site: Settings) -> None:
    his, mine, _ = ask(site, HEAD, "jobs", all_users=True, **ALL_TIME).rows
    (whole,) = (row for row in ask(site, FILE_OWNER, "jobs", **ALL_TIME).rows if row["job_id"] == "3")
    assert [his[key] for key in ("job_name", "wckey", "nodes", "exit_code")] == [""] * 4
    assert whole["job_name"] == "zqhere" and whole["leases"][0]["node"] is not None
    hidden = {"node", "device", "index", "prolog", "epilog", "utilization_percent", "utilization_coverage",
              "memory_mean_mib", "memory_peak_mib", "memory_coverage"}  # fmt: skip
    assert all(lease[key] is None for lease in his["leases"] for key in hidden)
    kept = [{key: value for key, value in lease.items() if key not in hidden} for lease in whole["leases"]]
    assert [{key: value for key, value in lease.items() if key not in hidden} for lease in his["leases"]] == kept
    spend = ("user", "account", "gpu_seconds", "state", "start", "end", "alloc_tres")
    assert [his[key] for key in spend] == [whole[key] for key in spend]
    assert (mine["job_name"], mine["nodes"]) == ("hello", "n1"), "her own are whole"


@pytest.mark.parametrize(
    ("viewer", "found"),
    [
        (MIA, {("mine", ""), ("mine", "mia")}),
        (HEAD, {("mine", ""), ("mine", "mia"), ("mine", "zqbert")}),
        (SHARED, {("mine", ""), ("mine", "mia"), ("mine", "zqbert")}),
        (STRANGER, set()),
        (TWIN, {("mine", ""), ("mine", "mia")}),
        (FINANCE, {("mine", u) for u in ("", "mia", "zqbert")} | {("zqlab", u) for u in ("", "zqada", "zqbert")}),
    ],
    ids=["mia", "head", "shared", "stranger", "twin", "finance"],
)
def test_whose_spend(site: Settings, viewer: Viewer, found: set[tuple[str, str]]) -> None:
    rows = ask(site, viewer, "account_utilization_by_user", **ALL_TIME).rows
    assert {(row["account"], row["user"]) for row in rows} == found
    for account in {row["account"] for row in rows}:
        seen = [row for row in rows if row["account"] == account]
        whole = sum(float(row["gpu_seconds"]) for row in seen if not row["user"])
        assert whole == pytest.approx(sum(float(row["gpu_seconds"]) for row in seen if row["user"]), abs=1e-5)


def test_whose_invoices(site: Settings) -> None:
    def made(viewer: Viewer, **params: Any) -> list[tuple[str, str, str | None]]:
        rows = ask(site, viewer, "invoices", month=MONTH, **params).rows
        return [(row["kind"], row["account"], row.get("user")) for row in rows]

    assert made(MIA) == made(MIA, user="mia") == made(HEAD, user="mia") == [("statement", "mine", "mia")]
    assert made(SHARED) == made(TWIN) == made(MIA)
    assert made(HEAD) == [("invoice", "mine", None)]
    assert made(HEAD, user="zqbert") == [("statement", "mine", "zqbert")]
    assert made(HEAD, user="nobodyknows") == made(STRANGER) == []
    assert made(FINANCE) == [("invoice", "mine", None), ("invoice", "zqlab", None)]
    assert made(FINANCE, user="zqbert") == [("statement", "mine", "zqbert"), ("statement", "zqlab", "zqbert")]
    (own,) = ask(site, MIA, "invoices", month=MONTH).rows
    (part,) = ask(site, FINANCE, "invoices", month=MONTH, user="mia").rows
    assert own == part, "a statement is the same whoever asks for it"


def test_what_invoices_do_not_say_is_told_of_ones_own(site: Settings) -> None:
    def notes(viewer: Viewer) -> list[str]:
        found: list[str] = ask(site, viewer, "invoices", month=MONTH).head["notes"]
        return found

    assert notes(MIA) == [
        "not priced, on no invoice: 0.166667 hours of GPUs (gres/gpu:h300) on c; tell an administrator"
    ]
    assert notes(STRANGER) == []
    assert {line.split(":")[0] for line in notes(FINANCE)} >= {"not priced, on no invoice", "not billed"}
    assert any("gres/gpu:zqkind" in line for line in notes(FINANCE))


def test_accounts_that_one_uses(site: Settings) -> None:
    def facts(viewer: Viewer, **params: Any) -> dict[str, set[str]]:
        return {
            row["account"]: {f["field"] for f in row["facts"]} for row in ask(site, viewer, "accounts", **params).rows
        }

    assert facts(MIA) == facts(MIA, account="mine") == {"mine": {"class", "description", "organization"}}
    assert facts(HEAD) == {"mine": {"class", "description", "organization", "contact", "tax_id"}}
    assert facts(STRANGER) == {}
    assert {"mine", "zqlab", "zqidle", "zqnever"} <= facts(FINANCE).keys()
    for viewer in (MIA, HEAD):
        assert {f["source"] for row in ask(site, viewer, "accounts").rows for f in row["facts"]} == {""}


@pytest.mark.parametrize("viewer", [MIA, HEAD], ids=["mia", "head"])
@pytest.mark.parametrize(
    ("name", "key", "there"),
    [
        ("jobs", "users", ["zqada"]),
        ("jobs", "accounts", ["zqlab"]),
        ("account_utilization_by_user", "users", ["zqada"]),
        ("account_utilization_by_user", "accounts", ["zqlab"]),
        ("invoices", "user", "zqada"),
        ("invoices", "account", "zqlab"),
        ("accounts", "account", "zqlab"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_answer_tells_whether_a_name_is_known(
    site: Settings, viewer: Viewer, name: str, key: str, there: str | list[str]
) -> None:
    known = {param.name for param in QUERIES[name].params}
    usual = {param: value for param, value in {"month": MONTH, **ALL_TIME}.items() if param in known}
    answers = set()
    for one in (there, "zqnobody", "zqad", "root"):
        asked = one[0] if isinstance(one, list) else one
        try:
            found = ask(site, viewer, name, **usual, **{key: [asked] if isinstance(there, list) else asked})
            answers.add(words([found.rows, found.head["notes"]]))
        except NotAllowed as error:
            answers.add(str(error).replace(asked, "NAME"))
    assert len(answers) == 1, answers
    assert viewer is HEAD or "you may" in answers.pop()


def test_what_needs_a_right(site: Settings) -> None:
    for name in ("showback", "energy", "reconcile", "audit"):
        params = {"month": MONTH} if name == "showback" else {}
        for viewer in (STRANGER, HEAD, COSTS):
            with pytest.raises(NotAllowed, match="see all users' spend"):
                ask(site, viewer, name, **params)
        assert list(ask(site, FINANCE, name, **params).rows)
    for name in ("rates_explain", "rates_simulate", "config_history", "config_findings"):
        for viewer in (STRANGER, HEAD, FINANCE):
            with pytest.raises(NotAllowed, match="see cost items"):
                ask(site, viewer, name)
        assert list(ask(site, COSTS, name).rows)


def test_prices_are_posted_for_all_and_how_they_came_about_is_not(site: Settings) -> None:
    (posted,), (whole,) = (ask(site, viewer, "rates_history").rows for viewer in (STRANGER, COSTS))
    assert posted == {key: whole[key] for key in posted}
    assert posted["prices"] and whole["login"] == "zqadmin" and whole["why"] == "zqwhy"
    assert ask(site, FINANCE, "rates_history").rows == [posted]


def test_who_acted_on_ones_own_records(site: Settings) -> None:
    on_her, hers = ask(site, MIA, "access_log").rows
    assert on_her == {
        "seq": 1, "at": NOW // 1000, "login": "boss", "uid": 0, "host": "admin1", "did": "token revoked", "why": "left",
        "users": ["mia"],
    }  # fmt: skip
    assert (hers["login"], hers["query"], hers["terminal"]) == ("mia", "config_history", "socket")
    assert ask(site, HEAD, "access_log", user="mia").rows == [on_her, hers], "a coordinator has no part in it"
    for viewer in (MIA, HEAD, COSTS):
        with pytest.raises(NotAllowed, match="what concerns you"):
            ask(site, viewer, "access_log", user="zqada")
    assert ask(site, STRANGER, "access_log").rows == ask(site, Viewer(""), "access_log").rows == []
    assert [row["login"] for row in ask(site, FINANCE, "access_log").rows] == ["boss", "zqeva", "mia"]
    assert [row["users"] for row in ask(site, FINANCE, "access_log", user="zqada").rows] == [["mia", "zqada"]]


def test_which_looks_are_at_cost_items() -> None:
    looks = {name for name, query in QUERIES.items() if query.shows_costs(COSTS)}
    assert looks == {"rates_explain", "rates_simulate", "rates_history", "config_history", "config_findings"}
    assert not any(query.shows_costs(FINANCE) for query in QUERIES.values())


def test_status_is_health_for_most(site: Settings) -> None:
    (health,), (whole,) = (ask(site, viewer, "status").rows for viewer in (STRANGER, FINANCE))
    assert health.keys() == {"now", "witnesses"}
    assert health["witnesses"] == whole["witnesses"] != []
    assert whole["counts"]["attempts"] == 8


def test_sums_of_clusters_unless_usage_is_private(site: Settings) -> None:
    whole = ask(site, FINANCE, "cluster_utilization", **ALL_TIME).rows
    assert whole and ask(site, STRANGER, "cluster_utilization", **ALL_TIME).rows == whole
    with pytest.raises(NotAllowed, match="usage is private"):
        ask(site, Viewer("mia", totals=False), "cluster_utilization", **ALL_TIME)


def test_a_fault_of_the_site_names_nobody_to_who_may_not_know(site: Settings, tmp_path: Path) -> None:
    path = tmp_path / "gone.db"
    with pytest.raises(GpucostError, match=r"gone\.db"), answer(site, path, "jobs", {}, FINANCE, NOW):
        pass
    with pytest.raises(GpucostError) as caught, answer(site, path, "jobs", {}, MIA, NOW):
        pass
    assert str(caught.value) == "config or ledger do not allow an answer now; tell an administrator"


@pytest.mark.parametrize(
    "change",
    [
        'pools.main.costs_file="/etc/passwd"',
        'pools.main."costs\\u005ffile"="/etc/passwd"',
        'pools={main={costs_file="/etc/passwd"}}',
        'pools.x=[{a={costs_file="x"}}]',
    ],
)
def test_no_file_of_the_ledgers_host_is_read_for_others(site: Settings, change: str) -> None:
    boss = Viewer("root", everyone=True, costs=True, acts=True)
    with pytest.raises(NotAllowed, match="costs_file"):
        ask(site, boss, "rates_simulate", changes=[change])


def test_whoever_has_the_files_may_name_others(site: Settings, tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text("nonsense\n")
    params = {"changes": [f'pools.main.costs_file="{tmp_path}/costs.csv"']}
    with (
        pytest.raises(GpucostError, match=r"costs\.csv"),
        answer(site, site.ledger, "rates_simulate", params, FILE_OWNER, NOW, local=True),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("invoices", {}, "parameter month: invoices needs it"),
        ("jobs", {"user": "mia"}, "parameter user: jobs has no such parameter; did you mean users?"),
        ("status", {"x": 1}, "parameter x: status has no such parameter; it takes none"),
        ("jobs", {"users": "mia"}, "parameter users: must be a list of texts"),
        ("jobs", {"users": [1]}, "parameter users: must be a list of texts"),
        ("jobs", {"all_users": "yes"}, "parameter all_users: must be true or false"),
        ("jobs", {"start": 5}, "parameter start: must be text"),
        ("jobs", {"start": "1" * 1001}, "parameter start: is longer than 1000 characters"),
        ("jobs", {"users": ["a"] * 10_001}, "parameter users: has more than 10000 texts"),
        ("jobs", {"partitions": ["a\0b"]}, "parameter partitions: has a byte 0 in it"),
        ("jobs", {"start": "yesteryear"}, "-S 'yesteryear': is no time"),
        ("invoices", {"month": "soon"}, "--month: "),
        ("attempts", {}, "attempts: no question has this name; there are jobs, "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_parameters_are_named(site: Settings, name: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(site, MIA, name, **params)
    assert str(caught.value).startswith(said)


def test_the_answer_says_where_and_when_it_is_of(site: Settings) -> None:
    head = ask(site, MIA, "jobs", users=None, **ALL_TIME).head
    assert head == {
        "cluster": "c", "timezone": "Asia/Kolkata", "currency": "EUR", "now": NOW // 1000, "notes": [],
        "start": int(START[3:]), "end": int(END[3:]),
    }  # fmt: skip


def test_limits_can_be_put_on_the_ledgers_connection(site: Settings) -> None:
    seen: list[int] = []
    with answer(site, site.ledger, "status", {}, MIA, NOW, on_open=lambda db: seen.append(db.total_changes)):
        pass
    assert seen == [0]
