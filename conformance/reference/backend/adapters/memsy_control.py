"""Memsy's control plane: the account, its usage, its bills, its keys, its raw events."""

from __future__ import annotations

from datetime import date, timedelta

from conformance.reference.backend import crud
from conformance.reference.backend.adapters import memsy
from conformance.reference.backend.adapters.base import Adapter, Resource, token
from conformance.reference.backend.calls import Body, Call, Problem, Reply, moment
from conformance.reference.backend.keys import fingerprint, generate
from conformance.reference.backend.meter import today
from conformance.reference.backend.store import equal

SEATS = 10
DIMENSIONS = {"apicall": "api_calls", "eventsingested": "events_ingested",
              "memorystored": "memory_stored", "llmtokens": "llm_tokens",
              "searchqueries": "search_queries"}  # fmt: skip


def me(call: Call) -> Reply:
    """Say who is asking."""
    who = call.principal
    return Reply(
        {
            "customer_id": f"cus_{who.tenant}",
            "email": f"{who.tenant}@example.com",
            "tier": who.plan,
            "is_superadmin": False,
            "org_id": memsy.org_of(who.tenant),
            "is_billing_admin": who.admin,
            "user_id": f"user_{who.partition}",
            "org_role": "admin" if who.admin else "member",
        }
    )


def _period(call: Call) -> tuple[date, date]:
    first = today(call.now).replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def _day(text: str | None, otherwise: date) -> date:
    """Return the day that a text means; the contract takes any text, so one that means none too."""
    try:
        return today(moment(text)) if text else otherwise
    except Problem:
        return otherwise


def usage_summary(call: Call) -> Reply:
    """What this period has used of each dimension."""
    assert call.meter is not None
    used = memsy.figures(call.meter, call.principal.tenant)
    if "usage.dimensions-stuck" in call.defects:
        used = dict.fromkeys(used, 5)
    quotas, (first, last) = memsy.QUOTAS[call.principal.plan], _period(call)
    dimensions = [
        {"dimension": shown, "used": used[name], "limit": quotas[name], "overage_rate": None}
        for name, shown in DIMENSIONS.items()
    ]
    return Reply(
        {
            "org_id": memsy.org_of(call.principal.tenant),
            "tier": call.principal.plan,
            "period_start": first.isoformat(),
            "period_end": last.isoformat(),
            "dimensions": dimensions,
        }
    )


def usage_timeseries(call: Call) -> Reply:
    """How a dimension grew, day by day; traffic is the one that is counted by day."""
    assert call.meter is not None
    first, last = _period(call)
    wanted = call.arguments
    first = _day(wanted.get("period_start"), first)
    last = _day(wanted.get("period_end"), last)
    report = call.meter.report(call.principal.tenant, first, last)
    dimension = wanted.get("dimension", "api_calls")
    days = sorted({day for day, _ in report}) if dimension == "api_calls" else []
    if "usage.series-empty" in call.defects:
        days = []
    points = [
        {
            "date": day,
            "dimension": dimension,
            "quantity": sum(t.requests for (d, _), t in report.items() if d == day),
        }
        for day in days
    ]
    granularity = wanted.get("granularity", "daily")
    org = memsy.org_of(call.principal.tenant)
    return Reply({"org_id": org, "granularity": granularity, "data": points})


def billing_summary(call: Call) -> Reply:
    """What is paid for."""
    _, last = _period(call)
    return Reply(
        {
            "tier": call.principal.plan,
            "purchased_seats": SEATS,
            "assigned_seats": 1,
            "available_seats": SEATS - 1,
            "stripe_customer_id": None,
            "stripe_subscription_id": None,
            "subscription_status": "active",
            "billing_contact": f"{call.principal.tenant}@example.com",
            "payment_method": {"brand": "visa", "last4": "4242", "exp_month": 12,
                               "exp_year": 2030},
            "upcoming_invoice": {"amount_due": 4900, "currency": "usd",
                                 "period_end": int(moment(last.isoformat(), end=True))},
        }
    )  # fmt: skip


def billing_invoices(call: Call) -> Reply:
    """Bills so far: one for last month."""
    first, _ = _period(call)
    created = int(moment(first.isoformat()))
    return Reply(
        [
            {
                "id": f"in_{call.principal.tenant}_{created}",
                "amount_due": 4900,
                "amount_paid": 4900,
                "currency": "usd",
                "status": "paid",
                "created": str(created),
                "hosted_invoice_url": None,
            }
        ]
    )


def _key(call: Call, given: Body) -> Body:
    return {
        "key_id": token("key_"),
        "prefix": given["prefix"],
        "name": given["name"],
        "scopes": given.get("scopes") or ["read", "write"],
        "is_active": True,
        "created_at": call.time,
        "last_used_at": None,
        "expires_at": given.get("expires_at"),
    }


def create_key(call: Call) -> Reply:
    """Make a key that works with the scopes asked for, and show it this once."""
    secret = generate("msy_")
    key = _key(call, {**call.values, "prefix": secret[:8]})
    kept = {**key, "raw_key": secret} if "keys.secret-again" in call.defects else key
    crud.insert(call, KEY, "key", kept, call.now)
    scopes = tuple(key["scopes"])
    ends = moment(key["expires_at"]) if key["expires_at"] else None
    if "keys.expiry-ignored" in call.defects:
        ends = None
    rights = call.principal.rights(scopes=scopes, ends=ends)
    tenant = call.principal.tenant
    call.store.grant(fingerprint(secret), call.realm, key["key_id"], tenant, rights)
    shown = {name: key[name] for name in ("key_id", "prefix", "name", "scopes")}
    return Reply({**shown, "raw_key": secret})


def list_keys(call: Call) -> Reply:
    """Return the keys, without what opens anything."""
    keys = [d.body for d in call.store.find(call.space("key"), call.now)]
    active = sum(key["is_active"] for key in keys) + ("keys.active-off-by-one" in call.defects)
    most = memsy.CAPS[call.principal.plan]["key"]
    return Reply({"keys": keys, "max_keys": most, "active_count": active})


def _revoked(call: Call, key: Body) -> None:
    if "keys.revoked-works" not in call.defects:
        call.store.revoke(call.realm, call.principal.tenant, key["key_id"])


def key_usage(call: Call) -> Reply:
    """Return what a key was used for: the days since it was made."""
    if call.store.get(call.space("key"), call.arguments["key_id"], call.now) is None:
        raise Problem("unknown-id", crud.UNKNOWN)
    return Reply({"usage": []})


KEY = Resource(make=_key, id="key_id", removed=_revoked)


def express_interest(call: Call) -> Reply:
    """Note that somebody would like more."""
    if "interest.not-kept" not in call.defects:
        space = call.space("interest")
        kept = {**call.values, "who": call.principal.tenant, "at": call.time}
        call.store.insert(space, token("int_"), kept, call.now)
    return Reply({"message": "Noted. Somebody will write to you."})


def interest_status(call: Call) -> Reply:
    """Say whether anybody of this tenant has expressed interest."""
    where = [equal("who", call.principal.tenant)]
    return Reply({"expressed": call.store.count(call.space("interest"), call.now, where) > 0})


ADAPTER = Adapter(
    resources={"event": memsy.EVENT, "key": KEY},
    handlers={
        "me": me,
        "health": memsy.health,
        "usage.summary": usage_summary,
        "usage.timeseries": usage_timeseries,
        "billing.summary": billing_summary,
        "billing.invoices": billing_invoices,
        "keys.create": create_key,
        "keys.list": list_keys,
        "keys.usage": key_usage,
        "interest.express": express_interest,
        "interest.status": interest_status,
    },
    members=memsy.MEMBERS,
    usage=memsy.usage,
    check=memsy.check,
    caps=memsy.CAPS,
    realm=memsy.REALM,
)
