"""Which container is this?"""

from controlplane.sources.docker_self import container_ids

ID, POD = "a" * 64, "b" * 64
MOUNTS = (
    "1 2 8:1 / / rw - overlay overlay rw,upperdir=/var/lib/docker/overlay2/0123/diff\n"
    f"709 700 8:1 /var/lib/docker/containers/{POD}/hostname /etc/hostname rw,relatime - ext4 /dev/sda1 rw\n"
    f"710 700 8:1 /var/lib/docker/containers/{POD}/hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw\n"
)


def test_cgroups_know_first():
    assert container_ids(MOUNTS, f"11:memory:/docker/{ID}\n0::/system.slice/docker-{ID}.scope\n", "app") == (ID, POD)


def test_with_cgroups_of_their_own_the_mounts_do():
    assert container_ids(MOUNTS, "0::/\n", "control-plane") == (POD,)


def test_a_hostname_may_be_an_id():
    assert container_ids("", "", "0123456789ab") == ("0123456789ab",)


def test_on_a_host_there_is_none():
    assert container_ids("1 2 8:1 / / rw - ext4 /dev/sda1 rw\n", "0::/user.slice/session-1.scope\n", "laptop") == ()
