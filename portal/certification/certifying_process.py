"""The process that certifies DFSPs. The process sets up the certifier, runs the cases, and stores the reports."""

import asyncio
import traceback
from collections.abc import Sequence

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models.functions import Now

from fspiop.errors import FspiopError
from hub.participants.models import Participant
from portal.certification import (
    certifier_participant,
    recorded_requests,
    report,
    starting_and_ending_runs,
    test_accounts,
)
from portal.certification.counterpart import Endpoint, Sender
from portal.certification.models import Certification
from portal.certification.run_for_one_dfsp import GivenUp, Run, Tell
from portal.certification.shown_messages import storable

log = structlog.get_logger("certification")

State = Certification.State
_RECORDED_S = 3600.0


def run(certifications: Sequence[Certification], tell: Tell = lambda *_: None) -> bool:
    """Runs these certifications at the same time. Returns False if another process certifies now.

    Ends each certification as passed or failed, or as interrupted if the process cannot continue.
    """
    with starting_and_ending_runs.only_process() as is_free:
        if not is_free:
            return False
        starting_and_ending_runs.clear_after_the_dead()
        mine = [each for each in certifications if starting_and_ending_runs.take(each)]
        if not mine:
            return True
        names = [each.participant.name for each in mine]
        try:
            recorded_requests.open_recordings(names, settings.CERTIFIER_NAME, seconds=_RECORDED_S)
            asyncio.run(_run(mine, tell))
        except (OSError, FspiopError) as error:
            _give_up(mine, f"the certifier cannot work: {error}")
        except KeyboardInterrupt:
            _give_up(mine, "a person ended the certification")
            raise
        except BaseException as error:
            _give_up(mine, f"{type(error).__name__}: {error}")
            raise
        finally:
            _clear()
    return True


def _clear() -> None:
    """Ends the recordings, and disables the certifier.

    If the connection to the database has ended during the runs, this process no longer holds the lock of
    certifications. Perhaps another process certifies now, and a worker ends what this process leaves.
    """
    try:
        recorded_requests.forget_recordings()
        certifier_participant.take_down()
    except (OperationalError, InterfaceError) as error:
        log.warning("certifications_not_cleared", error=str(error)[:200])


def _give_up(certifications: Sequence[Certification], why: str) -> None:
    why = storable(why)  # like the database, the log cannot store half surrogates
    log.error("certifications_given_up", why=why)
    ids = [each.pk for each in certifications]
    running = Certification.objects.filter(pk__in=ids, state=State.RUNNING)
    running.update(state=State.INTERRUPTED, ended_at=Now(), fault=why[:512])


async def _run(certifications: Sequence[Certification], tell: Tell) -> None:
    async with Endpoint() as endpoint:
        identity = await recorded_requests.in_database(lambda: certifier_participant.set_up(endpoint=endpoint.url))
        ready = await _with_accounts(certifications, identity.participant)
        async with Sender(identity) as sender, recorded_requests.Door() as opened:
            await asyncio.sleep(recorded_requests.processes_know_after_s())
            work = (_run_one(each, endpoint, sender, opened, tell) for each in ready)
            await asyncio.gather(*work)


async def _with_accounts(certifications: Sequence[Certification], certifier: Participant) -> list[Certification]:
    """Opens the DFSPs' test accounts. Also permits payments between the certifier and each DFSP that is not live yet.

    Returns the certifications that can run, and ends the others.
    """
    ready: list[Certification] = []
    for each in certifications:
        try:
            await recorded_requests.in_database(test_accounts.open_accounts, each.participant)
            await recorded_requests.in_database(starting_and_ending_runs.let_pay, each, certifier)
            await recorded_requests.in_database(each.participant.refresh_from_db)
        except FspiopError as error:
            await recorded_requests.in_database(_give_up, [each], f"the DFSP's test accounts cannot be opened: {error}")
        else:
            ready.append(each)
    return ready


async def _run_one(
    certification: Certification, endpoint: Endpoint, sender: Sender, opened: recorded_requests.Door, tell: Tell
) -> None:
    name = certification.participant.name

    def tell_of(case: str, verdict: str, values: dict[str, object]) -> None:
        tell(case, verdict, {"dfsp": name, **values})

    one = Run(certification, endpoint=endpoint, sender=sender, door=opened, tell=tell_of)
    try:
        await one.play_all()
        await recorded_requests.in_database_when_up(report.finish, certification)
    except GivenUp:
        log.warning("certification_given_up", dfsp=name)
    except TimeoutError:
        await recorded_requests.in_database_when_up(_give_up, [certification], "the certification took too long")
    except Exception as error:  # the certifications of other DFSPs continue
        log.error("certification_failed", dfsp=name, exception=storable(traceback.format_exc()))
        await recorded_requests.in_database_when_up(_give_up, [certification], f"{type(error).__name__}: {error}")
