"""The files of pods, as the kubelet rotates them and links to them: what works, and what is said where it does not."""

from pathlib import Path

import pytest

from tests.sources.test_follow import Log, lines


class Pod:
    """`/var/log/pods/<pod>/postfix/0.log`, and the link to it in `/var/log/containers`."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "pods" / "mail_mail-0_3f0f0a8e" / "postfix"
        self.directory.mkdir(parents=True)
        (root / "containers").mkdir()
        self.link = root / "containers" / "mail-0_mail_postfix-0123456789ab.log"
        self.number = 0
        self.path.touch()
        self.link.symlink_to(self.path)

    @property
    def path(self) -> Path:
        return self.directory / f"{self.number}.log"

    def rotate(self, at: str = "20261125-211530") -> None:
        self.path.rename(self.path.with_name(f"{self.path.name}.{at}"))
        self.path.touch()

    def restart(self) -> None:
        """The container, not the pod: the kubelet begins another file and turns the link."""
        self.number += 1
        self.path.touch()
        self.link.unlink()
        self.link.symlink_to(self.path)


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


@pytest.mark.parametrize("by_link", [True, False])
def test_the_kubelets_rotation_is_followed(pod: Pod, by_link: bool) -> None:
    log = Log(pod.link if by_link else pod.path)
    log.write(lines(0, 10), pod.path)
    assert log.read() == lines(0, 10)
    log.write(lines(10, 20), pod.path)
    pod.rotate()
    log.write(lines(20, 30), pod.path)
    assert log.read() == lines(10, 30)
    log.close()


def test_a_container_that_starts_again_is_followed_by_the_link(pod: Pod) -> None:
    log = Log(pod.link)
    log.write(lines(0, 10), pod.path)
    assert log.read() == lines(0, 10)
    log.write(lines(10, 20), pod.path)
    pod.restart()
    log.write(lines(20, 30), pod.path)
    assert log.read() == lines(10, 30)
    log.close()


def test_what_was_rotated_while_pfwatch_was_down_is_found_beside_the_file_itself(pod: Pod) -> None:
    log = Log(pod.path)
    log.write(lines(0, 10), pod.path)
    assert log.read() == lines(0, 10)
    log.close()
    log.write(lines(10, 20), pod.path)
    pod.rotate("20261125-211530")
    log.write(lines(20, 30), pod.path)
    pod.rotate("20261125-221530")
    log.write(lines(30, 40), pod.path)
    log.restart()
    assert log.read() == lines(10, 40)
    log.close()


def test_by_the_link_it_is_found_there_as_well(pod: Pod) -> None:
    log = Log(pod.link)
    log.write(lines(0, 10), pod.path)
    assert log.read() == lines(0, 10)
    log.close()
    log.write(lines(10, 20), pod.path)
    pod.rotate()
    log.write(lines(20, 30), pod.path)
    log.restart()
    assert log.read() == lines(10, 30)
    log.close()
    assert log.follower.losses == []
