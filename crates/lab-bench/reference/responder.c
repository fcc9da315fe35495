/* The leanest possible fanotify permission client: what the lab's client is measured against.
 *
 * One group, one filesystem mark, one thread: read, answer everything that was read with one writev, close
 * everything with one close_range. No trace, no path, no policy. Says "ready" with one byte on standard output.
 *
 * usage: responder ARENA    (a tmpfs in a mount namespace of the caller's own)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fanotify.h>
#include <sys/uio.h>
#include <unistd.h>

#define BATCH 1024
static char events[BATCH * sizeof(struct fanotify_event_metadata)];
static struct fanotify_response answers[BATCH];
static struct iovec vectors[BATCH];

static void die(const char *what) {
  perror(what);
  exit(1);
}

int main(int count, char **arguments) {
  if (count != 2) return 64;
  int group = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS,
                            O_RDONLY | O_CLOEXEC | O_LARGEFILE);
  if (group < 0) die("fanotify_init");
  if (fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_PERM, AT_FDCWD, arguments[1]))
    die("fanotify_mark");
  for (int i = 0; i < BATCH; i++) {
    vectors[i].iov_base = &answers[i];
    vectors[i].iov_len = sizeof answers[i];
  }
  if (write(STDOUT_FILENO, "r", 1) != 1) die("ready");
  for (;;) {
    ssize_t left = read(group, events, sizeof events);
    if (left < 0) die("read");
    int n = 0, low = 1 << 30, high = -1;
    struct fanotify_event_metadata *event = (void *)events;
    for (; FAN_EVENT_OK(event, left); event = FAN_EVENT_NEXT(event, left)) {
      if (event->fd < 0) continue;
      answers[n].fd = event->fd;
      answers[n].response = FAN_ALLOW;
      if (event->fd < low) low = event->fd;
      if (event->fd > high) high = event->fd;
      n++;
    }
    if (!n) continue;
    if (writev(group, vectors, n) < 0) die("writev");
    if (high - low + 1 == n) {
      close_range(low, high, 0);
    } else {
      for (int i = 0; i < n; i++) close(answers[i].fd);
    }
  }
}
