"""What an entry of ``[[notices]]`` may hold. All times are seconds."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from connectory.model import ConditionCode, ConditionSeverity, NoticeKind

#: How long something must hold before it is told, unless a receiver says otherwise.
HOLDS: Mapping[NoticeKind, float] = {
    NoticeKind.CONDITION: 60.0,
    NoticeKind.JOB_FAILED: 0.0,
    NoticeKind.SYSTEM_DOWN: 0.0,
}
#: Conditions that never are of a weight that is told of: they inform, or SYSTEM_DOWN tells it for all.
_NOT_NOTIFIED = {ConditionCode.QUEUED, ConditionCode.QUEUED_BEHIND, ConditionCode.STALE}
#: What ``conditions`` may name.
NOTIFIABLE = (NoticeKind.JOB_FAILED.name, *(code.name for code in ConditionCode if code not in _NOT_NOTIFIED))
_SEVERITIES = (ConditionSeverity.WARNING.name, ConditionSeverity.CRITICAL.name)


def _one_of(names: tuple[str, ...]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in names:
            raise ValueError("is none of what is valid")
        return value

    return AfterValidator(check)


class ReceiverSettings(BaseModel):
    """One ``[[notices]]`` entry: where to, in which form, and of what."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="unique; lower-case letters, digits and hyphens")
    #: whoever knows it can post there, so it is never shown
    url: SecretStr = Field(description="where to post to: http:// or https://")
    format: Literal["json", "slack"] = Field("json", description='"json", signed, or "slack"')
    secret: SecretStr | None = Field(
        None, min_length=16, description="what the receiver checks our signature with, 16 characters or more"
    )
    conditions: tuple[Annotated[str, _one_of(NOTIFIABLE)], ...] = Field(
        (), description=f"a list; all without it. Valid: {', '.join(NOTIFIABLE)}"
    )
    systems: tuple[str, ...] = Field((), description="a list of names of systems; all without it")
    sources: tuple[str, ...] = Field((), description='a list of sources, as ["slack", "web"]; all without it')
    severities: tuple[Annotated[str, _one_of(_SEVERITIES)], ...] = Field(
        (), description='a list of "WARNING" and "CRITICAL"; both without it'
    )
    hold: float | None = Field(
        None, alias="for", ge=0, le=86_400, description="seconds that something must hold before it is told, 0 to 86400"
    )
    backlog: bool = Field(True, description="false: not what was so already when its connector was first seen")
    timeout: float = Field(10.0, gt=0, le=60, description="seconds for one attempt, up to 60")

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: SecretStr) -> SecretStr:
        try:
            TypeAdapter(HttpUrl).validate_python(url.get_secret_value())
        except ValidationError:
            raise ValueError("cannot be read as a URL") from None
        return url

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        if self.format == "json" and self.secret is None:
            raise ValueError('secret is missing: the format "json" is signed with it')
        if self.format == "slack" and self.secret is not None:
            raise ValueError('secret is for the format "json" only; the format "slack" is not signed')
        return self

    def holds(self, kind: NoticeKind) -> float:
        """Seconds that something of this kind must hold before it is told here."""
        return HOLDS[kind] if self.hold is None else self.hold
